#include "deploy/demo/client/session.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <cstring>
#include <list>

namespace hapair::demo {
namespace {

constexpr int kSectorBytes = 512;

}  // namespace

struct Session::Impl {
  struct Operation {
    Impl* session = nullptr;
    std::uint64_t tag = 0;
    Instant deadline;
    std::span<std::byte> into;  // of a read
  };

  Target target;
  Done done;
  iscsi_context* iscsi = nullptr;
  State state = State::dialling;
  std::string reason;
  Instant now;
  Instant dial_deadline;
  std::uint64_t capacity = 0;
  std::list<Operation> operations;  // in the order of sending, so the first one's deadline is the earliest
  bool closing = false;

  void fail(const std::string& why) {
    if (state == State::failed) return;
    state = State::failed;
    const char* error = iscsi != nullptr ? iscsi_get_error(iscsi) : "";
    reason = why + (error != nullptr && *error != '\0' ? std::string(": ") + error : std::string());
  }

  // libiscsi knows nothing of these: its last error would be an older one.
  void fail_by_deadline(const std::string& why) {
    if (state == State::failed) return;
    state = State::failed;
    reason = why;
  }

  static void on_connected(iscsi_context* iscsi, int status, void*, void* self) {
    auto* impl = static_cast<Impl*>(self);
    if (impl->closing) return;
    if (status != SCSI_STATUS_GOOD) {
      impl->fail("the login failed");
      return;
    }
    if (iscsi_readcapacity16_task(iscsi, impl->target.lun, on_capacity, self) == nullptr) {
      impl->fail("the capacity could not be asked for");
    }
  }

  static void on_capacity(iscsi_context*, int status, void* command, void* self) {
    auto* impl = static_cast<Impl*>(self);
    auto* task = static_cast<scsi_task*>(command);
    if (impl->closing) {
      scsi_free_scsi_task(task);
      return;
    }
    const auto* answer =
        status == SCSI_STATUS_GOOD ? static_cast<const scsi_readcapacity16*>(scsi_datain_unmarshall(task)) : nullptr;
    if (answer == nullptr) {
      impl->fail("the LUN did not say its capacity");
    } else {
      impl->capacity = (answer->returned_lba + 1) * answer->block_length;
      impl->state = State::ready;
    }
    scsi_free_scsi_task(task);
  }

  static void on_done(iscsi_context*, int status, void* command, void* private_data) {
    auto* task = static_cast<scsi_task*>(command);
    auto* operation = static_cast<Operation*>(private_data);
    Impl* impl = operation->session;
    const std::uint64_t tag = operation->tag;
    bool ok = status == SCSI_STATUS_GOOD;
    if (!impl->closing && ok && !operation->into.empty()) {
      ok = task->datain.size == static_cast<int>(operation->into.size());
      if (ok) std::memcpy(operation->into.data(), task->datain.data, operation->into.size());
    }
    if (!impl->closing && !ok) {
      impl->fail("an operation failed with SCSI status " + std::to_string(status) + " " +
                 (status == SCSI_STATUS_CHECK_CONDITION ? scsi_sense_key_str(task->sense.key) : ""));
    }
    scsi_free_scsi_task(task);
    if (impl->closing) return;
    std::erase_if(impl->operations, [&](const Operation& other) { return &other == operation; });
    impl->done(impl->now, tag, ok);
  }

  void post(scsi_task* task) {
    if (task == nullptr) fail("an operation could not be sent");
  }
};

Session::Session(const Target& target, Instant now, Done done) : impl_(std::make_unique<Impl>()) {
  impl_->target = target;
  impl_->done = std::move(done);
  impl_->now = now;
  impl_->dial_deadline = now + kDialDeadline;
  impl_->iscsi = iscsi_create_context(target.initiator.c_str());
  if (impl_->iscsi == nullptr) {
    impl_->fail("no iSCSI context");
    return;
  }
  iscsi_set_noautoreconnect(impl_->iscsi, 1);
  iscsi_set_session_type(impl_->iscsi, ISCSI_SESSION_NORMAL);
  iscsi_set_header_digest(impl_->iscsi, ISCSI_HEADER_DIGEST_NONE);
  iscsi_set_targetname(impl_->iscsi, target.name.c_str());
  if (iscsi_full_connect_async(impl_->iscsi, target.portal.c_str(), target.lun, Impl::on_connected, impl_.get()) != 0) {
    impl_->fail("cannot dial " + target.portal);
  }
}

Session::~Session() {
  impl_->closing = true;
  if (impl_->iscsi != nullptr) iscsi_destroy_context(impl_->iscsi);  // calls back for everything outstanding
}

Session::State Session::state() const { return impl_->state; }
const std::string& Session::reason() const { return impl_->reason; }
int Session::fd() const { return impl_->iscsi != nullptr ? iscsi_get_fd(impl_->iscsi) : -1; }
std::uint64_t Session::capacity_bytes() const { return impl_->capacity; }

short Session::events() const {
  if (impl_->iscsi == nullptr || impl_->state == State::failed) return 0;
  return static_cast<short>(iscsi_which_events(impl_->iscsi));
}

void Session::service(Instant now, short revents) {
  Impl& impl = *impl_;
  impl.now = now;
  if (impl.state == State::failed) return;
  if (iscsi_service(impl.iscsi, revents) != 0) {
    impl.fail("the connection ended");
    return;
  }
  if (impl.state == State::dialling && now >= impl.dial_deadline) {
    impl.fail_by_deadline("no login within " + std::to_string(static_cast<int>(ms_of(kDialDeadline))) + " ms");
  } else if (!impl.operations.empty() && now >= impl.operations.front().deadline) {
    impl.fail_by_deadline("an operation took longer than " +
                          std::to_string(static_cast<int>(ms_of(kOperationDeadline))) + " ms");
  }
}

void Session::write(Instant now, std::uint64_t tag, std::uint64_t lba_bytes, std::span<std::byte> data, bool durable) {
  impl_->operations.push_back({impl_.get(), tag, now + kOperationDeadline, {}});
  impl_->post(iscsi_write16_task(impl_->iscsi, impl_->target.lun, lba_bytes / kSectorBytes,
                                 reinterpret_cast<unsigned char*>(data.data()), static_cast<std::uint32_t>(data.size()),
                                 kSectorBytes, 0, 0, durable ? 1 : 0, 0, 0, Impl::on_done, &impl_->operations.back()));
}

void Session::read(Instant now, std::uint64_t tag, std::uint64_t lba_bytes, std::span<std::byte> into) {
  impl_->operations.push_back({impl_.get(), tag, now + kOperationDeadline, into});
  impl_->post(iscsi_read16_task(impl_->iscsi, impl_->target.lun, lba_bytes / kSectorBytes,
                                static_cast<std::uint32_t>(into.size()), kSectorBytes, 0, 0, 0, 0, 0, Impl::on_done,
                                &impl_->operations.back()));
}

}  // namespace hapair::demo
