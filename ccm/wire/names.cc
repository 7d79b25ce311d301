#include "ccm/wire/names.h"

#include <array>
#include <utility>

#include "ccm/wire/observation.h"

namespace hapair::ccm {
namespace {

constexpr std::array<std::pair<BootPhase, std::string_view>, 9> kPhases{{
    {BootPhase::unknown, "unknown"},
    {BootPhase::early, "early"},
    {BootPhase::root, "root"},
    {BootPhase::awaiting_giveback, "awaiting-giveback"},
    {BootPhase::storage_starting, "storage-starting"},
    {BootPhase::storage_active, "storage-active"},
    {BootPhase::storage_stopping, "storage-stopping"},
    {BootPhase::shutting_down, "shutting-down"},
    {BootPhase::panicked, "panicked"},
}};

}  // namespace

std::string_view text_of(BootPhase phase) {
  for (const auto& [value, text] : kPhases) {
    if (value == phase) return text;
  }
  return "unknown";
}

std::optional<BootPhase> parse_boot_phase(std::string_view text) {
  for (const auto& [value, name] : kPhases) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string_view text_of_trouble(std::uint8_t trouble) {
  const bool rail = (trouble & kTroubleRail) != 0;
  if ((trouble & kTroubleNoKey) == 0) return rail ? "a rail has no usable interface or device" : "";
  return rail ? "it has no usable key, and a rail has no usable interface or device" : "it has no usable key";
}

bool before_storage(BootPhase phase) {
  return phase == BootPhase::early || phase == BootPhase::root || phase == BootPhase::awaiting_giveback;
}

std::string_view text_of(HandshakeState state) {
  switch (state) {
    case HandshakeState::searching:
      return "searching";
    case HandshakeState::greeting:
      return "greeting";
    case HandshakeState::proving:
      return "proving";
    case HandshakeState::confirming:
      return "confirming";
    case HandshakeState::connected:
      return "connected";
    case HandshakeState::refused:
      return "refused";
  }
  return "unknown";
}

std::string_view text_of(FabricError error) {
  switch (error) {
    case FabricError::none:
      return "none";
    case FabricError::not_listening:
      return "not-listening";
    case FabricError::refused:
      return "refused";
    case FabricError::remote_access:
      return "remote-access-error";
    case FabricError::retry_exceeded:
      return "retry-exceeded";
    case FabricError::link_down:
      return "link-down";
    case FabricError::deadline:
      return "deadline-exceeded";
    case FabricError::disconnected:
      return "disconnected";
  }
  return "unknown";
}

bool host_answered(FabricError error) {
  return error == FabricError::not_listening || error == FabricError::refused || error == FabricError::remote_access;
}

std::string_view text_of(ClientState state) {
  switch (state) {
    case ClientState::none:
      return "none";
    case ClientState::registered:
      return "registered";
    case ClientState::gone:
      return "gone";
    case ClientState::left:
      return "left";
  }
  return "unknown";
}

std::string_view text_of(ClientRefusal refusal) {
  switch (refusal) {
    case ClientRefusal::none:
      return "none";
    case ClientRefusal::version:
      return "another protocol version: restart the client after the upgrade";
    case ClientRefusal::no_slot:
      return "all client slots are taken";
    case ClientRefusal::name_taken:
      return "a client of this name is registered and alive";
    case ClientRefusal::not_permitted:
      return "only root and the CCM's own user may register";
    case ClientRefusal::malformed:
      return "the packet is malformed";
    case ClientRefusal::phase_backward:
      return "the node is in a later boot phase already";
    case ClientRefusal::port_count:
      return "not that many ports can be had";
    case ClientRefusal::port_memory:
      return "not that much memory a port can be had";
    case ClientRefusal::no_memory:
      return "this machine does not have the memory";
    case ClientRefusal::ports_taken:
      return "this client has its ports already";
  }
  return "unknown";
}

}  // namespace hapair::ccm
