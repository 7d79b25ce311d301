// Which disks this node has taken for the pools that it serves, in files that are gone after a reboot:
//
//   run_dir/reservations/pool-a.disks    "/dev/disk/by-id/...\n", a line a disk
//
// A file is written before a disk is touched, and taken away when the disks were given up while they were still own.
// One whose disks are another's shows that this node was preempted: until it has taken them again, which needs a
// permit, it must preempt nobody.
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace hapair::agent {

class HeldRecord {
 public:
  explicit HeldRecord(const std::string& run_dir) : folder_(run_dir + "/reservations") {}

  // `title`: "pool-a/disks". The error is a sentence.
  std::expected<void, std::string> write(const std::string& title, const std::vector<std::string>& devices) const;
  void remove(const std::string& title) const;
  // Of all titles.
  [[nodiscard]] std::expected<std::vector<std::string>, std::string> devices() const;

 private:
  [[nodiscard]] std::string path_of(std::string title) const;

  std::string folder_;
};

}  // namespace hapair::agent
