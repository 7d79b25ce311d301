// The partner's connection at this end: a queue pair that reads the status page and writes the mailbox page, and may do
// nothing else. This node's software takes no part in what goes over it.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <utility>

#include "ccm/base/time.h"
#include "ccm/fabric/verbs/device.h"
#include "ccm/fabric/verbs/pair.h"
#include "ccm/fabric/verbs/slow_calls.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm::verbs {

class Inbound {
 public:
  // `id` is the partner's request. The error is a sentence; for take_apart() there is something even then.
  Inbound(std::shared_ptr<Device> device, Handle<rdma_cm_id> id, Instant now);
  std::expected<void, std::string> begin();
  // Answers the request once the windows are bound, because the partner's first read may follow the answer at once. The
  // keys go in the answer's private data.
  std::expected<void, std::string> answer_when_bound();

  [[nodiscard]] const rdma_cm_id* id() const { return parts_.id.get(); }
  [[nodiscard]] Instant since() const { return since_; }
  // True: the completion was that of one of its windows.
  bool take_bound(const ibv_wc& completion);
  // For SlowCalls; nothing is left here.
  Remains take_apart() {
    device_.reset();
    return std::move(parts_);
  }

 private:
  std::shared_ptr<Device> device_;
  std::uint32_t status_key_ = 0;
  std::uint32_t mailbox_key_ = 0;
  int to_bind_ = 0;
  bool answered_ = false;
  // The queue pair is of our own making where windows are bound, else the id's.
  Remains parts_;
  Instant since_;
};

}  // namespace hapair::ccm::verbs
