// One mailbox disk on which the ownership of the pools is decided: slots are written and read by direct I/O in a thread
// of its own, for a disk may keep whoever asks it waiting for ever. The loop never waits.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/model.h"
#include "agent/core/ownership_ballot.h"
#include "agent/shell/event_source.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/mailbox_disk.h"
#include "ccm/wire/ownership_slot.h"

namespace hapair::agent {

struct OwnershipDiskSettings {
  std::string device;
  std::uint8_t place = 0;  // among the disks that decide
  std::uint8_t disks = 0;  // how many of them there are
  ccm::DiskPair of;
  std::vector<PoolName> pools;
  ccm::Key key;         // of slots
  Duration deadline{};  // a disk that has answered nothing for so long is silent until it does
  // The node's lock (lock_state_dir). It is held for as long as a request may be in the kernel, so also when this
  // process is gone but for that: a write of this life never falls into the next (agent/core/ownership_ballot.h).
  std::shared_ptr<const Fd> lock;
};

struct DiskJob {
  enum class Kind : std::uint8_t { write, read, look };  // a look is a read that no ballot waits for
  Kind kind = Kind::look;
  PoolIndex pool = 0;
  std::uint64_t round = 0;    // the ballot's
  ccm::OwnershipSlot slot{};  // what is to be written
};
struct DiskAnswer {
  DiskJob job;
  int error = 0;  // errno; ETIMEDOUT: silent; ENOTUNIQ: not this pair's, nothing was written
  Instant began;  // of a read: before anything of it was asked of the disk
  DiskSight sight;
};

class OwnershipDisk {
 public:
  using OnAnswer = std::function<void(const DiskAnswer&)>;
  // The disk is opened by the thread, and again a second after each error. `on_answer` is called from the loop.
  OwnershipDisk(sd_event* loop, const OwnershipDiskSettings& settings, OnAnswer on_answer);
  ~OwnershipDisk();  // does not wait for a disk that does not answer
  OwnershipDisk(const OwnershipDisk&) = delete;
  OwnershipDisk& operator=(const OwnershipDisk&) = delete;

  // Never blocks, and each job is answered once. A silent disk's are answered without it: while one request may still
  // be in the kernel no other is begun, so that writes come to pass in the order in which they were asked for.
  void ask(const DiskJob& job);

  // What keeps the disk from its work and what to do, a sentence; empty where nothing does.
  [[nodiscard]] std::string trouble() const;
  // Which area it was when its header was read last; nothing before that.
  [[nodiscard]] const std::optional<ccm::DiskAreaId>& area() const { return area_; }

 private:
  struct Shared;
  static int on_answers(sd_event_source* source, int fd, std::uint32_t events, void* context);
  static int on_deadline(sd_event_source* source, std::uint64_t at, void* context);
  void take(const DiskAnswer& answer, bool without_disk);
  void watch_deadline();

  std::string device_;
  Duration deadline_;
  OnAnswer on_answer_;
  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this in the kernel
  std::deque<DiskJob> out_;         // asked and not answered
  bool silent_ = false;             // until the request that is in the kernel has ended
  int error_ = 0;                   // of the disk's last answer
  std::optional<ccm::DiskError> refused_;
  std::optional<ccm::DiskAreaId> area_;
  EventSource answers_;
  EventSource timer_;
};

}  // namespace hapair::agent
