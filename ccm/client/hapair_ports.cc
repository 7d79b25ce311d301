#include "ccm/client/hapair_ports.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "ccm/client/client.h"

struct hapair_client {
  hapair::ccm::Client client;
  std::optional<hapair::ccm::Ports> ports;
};

namespace {

using hapair::ccm::ClientError;
using hapair::ccm::Port;
using hapair::ccm::PortResult;
using hapair::ccm::PostError;

static_assert(HAPAIR_MAX_MESSAGE == hapair::ccm::kMaxMessageBytes);
static_assert(HAPAIR_MAX_PORTS == hapair::ccm::kMaxClientPorts);
static_assert(HAPAIR_ENDED_NO_RIGHT == static_cast<int>(PortResult::no_right));

int value_of(ClientError::Kind kind) {
  switch (kind) {
    case ClientError::Kind::not_running:
      return HAPAIR_NOT_RUNNING;
    case ClientError::Kind::refused:
      return HAPAIR_REFUSED;
    case ClientError::Kind::broken:
      return HAPAIR_BROKEN;
  }
  return HAPAIR_BROKEN;
}

int value_of(const std::expected<void, PostError>& posted) {
  if (posted) return HAPAIR_OK;
  switch (posted.error()) {
    case PostError::queue_full:
      return HAPAIR_QUEUE_FULL;
    case PostError::not_ready:
      return HAPAIR_NOT_READY;
    case PostError::outside:
      return HAPAIR_OUTSIDE;
    case PostError::no_right:
      return HAPAIR_NO_RIGHT;
    case PostError::too_long:
      return HAPAIR_TOO_LONG;
  }
  return HAPAIR_OUTSIDE;
}

int tell(const ClientError& failure, char* error, size_t error_bytes) {
  if (error != nullptr && error_bytes > 0) {
    const std::size_t n = std::min(failure.text.size(), error_bytes - 1);
    std::memcpy(error, failure.text.data(), n);
    error[n] = '\0';
  }
  return value_of(failure.kind);
}

Port* port_of(hapair_client* client, unsigned port) {
  return client->ports && port < client->ports->size() ? &(*client->ports)[port] : nullptr;
}

unsigned char* bytes_of(std::span<std::byte> memory, uint64_t* bytes) {
  if (bytes != nullptr) *bytes = memory.size();
  return reinterpret_cast<unsigned char*>(memory.data());
}

class Callbacks final : public hapair::ccm::PortHandler {
 public:
  Callbacks(const hapair_port_callbacks& callbacks, void* user) : callbacks_(callbacks), user_(user) {}
  void partner_ready(std::size_t port) override {
    if (callbacks_.partner_ready != nullptr) callbacks_.partner_ready(user_, static_cast<unsigned>(port));
  }
  void port_moved(std::size_t port) override {
    if (callbacks_.port_moved != nullptr) callbacks_.port_moved(user_, static_cast<unsigned>(port));
  }
  void partner_gone(std::size_t port, bool left) override {
    if (callbacks_.partner_gone != nullptr) callbacks_.partner_gone(user_, static_cast<unsigned>(port), left ? 1 : 0);
  }
  void completed(std::size_t port, const hapair::ccm::PortDone& done) override {
    if (callbacks_.completed == nullptr) return;
    callbacks_.completed(user_, static_cast<unsigned>(port), done.id, static_cast<int>(done.result));
  }
  void received(std::size_t port, std::span<const std::byte> message) override {
    if (callbacks_.received == nullptr) return;
    callbacks_.received(user_, static_cast<unsigned>(port), message.data(), message.size());
  }

 private:
  const hapair_port_callbacks& callbacks_;
  void* user_;
};

}  // namespace

extern "C" {

hapair_client* hapair_client_open(const char* socket, const char* name, unsigned pace_ms, unsigned patience_ms,
                                  int* why, char* error, size_t error_bytes) {
  const auto result = [&](int value) {
    if (why != nullptr) *why = value;
  };
  auto client = hapair::ccm::Client::connect(socket, name, std::chrono::milliseconds(pace_ms),
                                             std::chrono::milliseconds(patience_ms));
  if (!client) {
    result(tell(client.error(), error, error_bytes));
    return nullptr;
  }
  result(HAPAIR_OK);
  return new (std::nothrow) hapair_client{std::move(*client), std::nullopt};
}

void hapair_client_close(hapair_client* client) {
  if (client == nullptr) return;
  client->client.leave();
  delete client;
}

void hapair_beat(hapair_client* client) { client->client.beat(); }
void hapair_progress(hapair_client* client, uint64_t completed, uint32_t outstanding, uint32_t stall_limit_ms) {
  client->client.progress({completed, outstanding, std::chrono::milliseconds(stall_limit_ms)});
}
int hapair_alive(hapair_client* client) { return client->client.alive() ? 1 : 0; }

int hapair_ports_open(hapair_client* client, const struct hapair_ports_request* request, unsigned patience_ms,
                      char* error, size_t error_bytes) {
  auto ports = client->client.request_ports({.ports = request->ports,
                                             .memory_bytes = request->memory_bytes,
                                             .staging_bytes = request->staging_bytes,
                                             .partner_reads = request->partner_reads != 0,
                                             .partner_writes = request->partner_writes != 0},
                                            std::chrono::milliseconds(patience_ms));
  if (!ports) return tell(ports.error(), error, error_bytes);
  client->ports.emplace(std::move(*ports));
  return HAPAIR_OK;
}

unsigned char* hapair_port_memory(hapair_client* client, unsigned port, uint64_t* bytes) {
  const Port* const one = port_of(client, port);
  return one != nullptr ? bytes_of(one->memory(), bytes) : nullptr;
}

unsigned char* hapair_port_staging(hapair_client* client, unsigned port, uint64_t* bytes) {
  const Port* const one = port_of(client, port);
  return one != nullptr ? bytes_of(one->staging(), bytes) : nullptr;
}

int hapair_port_ready(hapair_client* client, unsigned port, uint64_t* bytes) {
  const Port* const one = port_of(client, port);
  if (one == nullptr || !one->partner().ready) return 0;
  if (bytes != nullptr) *bytes = one->partner().memory_bytes;
  return 1;
}

int hapair_port_write(hapair_client* client, unsigned port, uint64_t id, const void* local, size_t bytes,
                      uint64_t remote) {
  Port* const one = port_of(client, port);
  if (one == nullptr) return HAPAIR_OUTSIDE;
  return value_of(one->write(id, {static_cast<const std::byte*>(local), bytes}, remote));
}

int hapair_port_read(hapair_client* client, unsigned port, uint64_t id, void* local, size_t bytes, uint64_t remote) {
  Port* const one = port_of(client, port);
  if (one == nullptr) return HAPAIR_OUTSIDE;
  return value_of(one->read(id, {static_cast<std::byte*>(local), bytes}, remote));
}

int hapair_port_send(hapair_client* client, unsigned port, uint64_t id, const void* message, size_t bytes) {
  Port* const one = port_of(client, port);
  if (one == nullptr) return HAPAIR_OUTSIDE;
  return value_of(one->send(id, {static_cast<const std::byte*>(message), bytes}));
}

void hapair_flush(hapair_client* client) {
  if (client->ports) client->ports->flush();
}

int hapair_event_fd(const hapair_client* client) { return client->ports ? client->ports->event_fd() : -1; }

size_t hapair_dispatch(hapair_client* client, const struct hapair_port_callbacks* callbacks, void* user) {
  if (!client->ports) return 0;
  Callbacks handler(*callbacks, user);
  return client->ports->dispatch(handler);
}

}  // extern "C"
