// A SCSI disk of this node, asked through the kernel (SG_IO). A multipath device (dm-multipath) is all of its paths:
// each is a way of its own into the disk, with a registration of its own, so each is told by itself.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/reservation/reservable_disk.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::agent {

class ScsiDisk final : public ReservableDisk {
 public:
  // Never fails: of a disk that is not there, or is none, each question tells so. `timeout`: of each command; after it
  // the kernel begins to recover the path, which may take as long again.
  ScsiDisk(std::string device, Duration timeout);

  [[nodiscard]] const std::string& name() const override { return device_; }
  [[nodiscard]] std::size_t paths() const override { return paths_.size(); }
  std::expected<DiskReservations, DiskProblem> read() override;
  std::expected<void, DiskProblem> send(std::size_t path, const ReserveOut& command) override;

  // Refuses writes on this node, whoever holds it.
  [[nodiscard]] bool read_only() const { return read_only_; }

 private:
  struct Path {
    std::string title;  // the disk's name, with the path's where there are several
    Fd fd;
    std::optional<DiskProblem> problem;  // why it is not open
  };
  struct Transfer {
    CommandBlock block{};
    std::span<std::uint8_t> data;
    int direction = 0;
  };

  [[nodiscard]] std::optional<DiskProblem> find_paths();
  void add_path(const std::string& title, const std::string& node, const std::string& folder);
  // How many bytes came.
  std::expected<std::size_t, DiskProblem> transfer(const Path& path, const Transfer& what) const;
  std::expected<DiskReservations, DiskProblem> read_over(const Path& path) const;
  std::expected<bool, DiskProblem> keeps_through_power_loss(const Path& path);

  std::string device_;
  Duration timeout_;
  std::vector<Path> paths_;
  bool read_only_ = false;
  std::optional<bool> through_power_loss_;
};

}  // namespace hapair::agent
