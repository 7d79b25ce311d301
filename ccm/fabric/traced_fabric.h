// A fabric that tells on standard error what is done with it: each connection, each operation with the partner's
// address of it, how it ended and how long it took. For looking closely (`ccmd --trace`): it is put around the real one
// or is not there at all. It is not real-time.
#pragma once

#include <memory>
#include <string>

#include "ccm/base/fixed_ring.h"
#include "ccm/fabric/fabric.h"

namespace hapair::ccm {

class TracedFabric final : public Fabric {
 public:
  // `rail` and `partner` (where connections go) are for the reader.
  TracedFabric(std::unique_ptr<Fabric> real, std::string rail, std::string partner);

  std::expected<void, std::string> open() override { return real_->open(); }
  [[nodiscard]] std::span<std::byte> status_memory() override { return real_->status_memory(); }
  [[nodiscard]] std::span<std::byte> mailbox_memory() override { return real_->mailbox_memory(); }
  void connect(Instant now) override;
  void drop(Instant now) override;
  bool post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) override;
  bool post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                  std::span<const std::byte> from) override;
  std::size_t poll(Instant now, std::span<FabricEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return real_->poll_fd(); }
  [[nodiscard]] Duration last_round_trip() const override { return real_->last_round_trip(); }
  [[nodiscard]] std::string_view device() const override { return real_->device(); }
  [[nodiscard]] std::uint64_t turned_away() const override { return real_->turned_away(); }
  [[nodiscard]] std::string_view kind() const override { return real_->kind(); }
  [[nodiscard]] std::string_view trouble() const override { return real_->trouble(); }
  [[nodiscard]] std::uint64_t remote_address(RemotePage page) const override { return real_->remote_address(page); }

 private:
  struct Operation {
    OperationId id;
    RemotePage page = RemotePage::status;
    std::size_t offset = 0;
    std::size_t bytes = 0;
    std::uint64_t address = 0;  // of the page, when it was posted
    Instant when;
    std::span<const std::byte> into{};  // of a read
  };
  using Operations = FixedRing<Operation, 64>;  // of one kind: they complete in their order

  void tell(Instant now, const std::string& what) const;
  void tell(Instant now, const FabricEvent& event);
  void tell_done(Instant now, const FabricEvent& event, const char* what, Operations& operations);

  std::unique_ptr<Fabric> real_;
  std::string rail_;
  std::string partner_;
  Instant attempt_;
  Operations reads_;
  Operations writes_;
};

}  // namespace hapair::ccm
