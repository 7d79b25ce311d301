#include "ccm/session/port_token.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

struct TokenInput {
  std::array<char, kNameBytes> exposer;
  std::array<char, 24> client;
  std::uint32_t index;
  std::uint32_t exposure;
};
static_assert(sizeof(TokenInput) == kNameBytes + 32);

}  // namespace

PortToken port_token(const Key& session, const NodeName& exposer, std::string_view client, std::uint8_t index,
                     std::uint32_t exposure) {
  TokenInput input{};
  put_name(input.exposer, exposer.view());
  put_name(input.client, client);
  input.index = index;
  input.exposure = exposure;
  const Key purpose = session.derive("hapair port token 1", {});
  return mac_of(purpose, {std::as_bytes(std::span(&input, 1))});
}

}  // namespace hapair::ccm
