#include "agent/reservation/key.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <span>

namespace hapair::agent {
namespace {

constexpr unsigned kLifeBits = 24;
constexpr std::uint64_t kLifeMask = (std::uint64_t{1} << kLifeBits) - 1;

using NameBytes = std::array<std::byte, 32>;

template <class NameType>
NameBytes padded(const NameType& name) {
  NameBytes bytes{};
  std::memcpy(bytes.data(), name.view().data(), name.view().size());
  return bytes;
}

std::uint64_t number_from(const ccm::Key& key) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : key.bytes().first(8)) number = (number << 8) | byte;
  return number;
}

std::uint64_t node_bits(const ccm::Key& pair_key, const PairName& pair, const NodeName& node) {
  const NameBytes pair_name = padded(pair);
  const NameBytes node_name = padded(node);
  const auto drawn = number_from(pair_key.derive("hapair scsi reservation node", {pair_name, node_name}));
  return (drawn & ~kLifeMask) | (std::uint64_t{1} << kLifeBits);
}

std::uint64_t life_bits(const ccm::Key& pair_key, const NodeName& node, const BootId& boot_id) {
  const NameBytes name = padded(node);
  const auto drawn =
      number_from(pair_key.derive("hapair scsi reservation life", {name, std::as_bytes(std::span(boot_id.bytes))}));
  return drawn & kLifeMask;
}

}  // namespace

std::string text_of(ReservationKey key) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(key.value()));
  return text.data();
}

Keyring::Keyring(const ccm::Key& pair_key, const PairNames& names, const BootId& boot_id)
    : names_(names),
      own_(node_bits(pair_key, names_.pair, names_.node) | life_bits(pair_key, names_.node, boot_id)),
      partner_node_(node_bits(pair_key, names_.pair, names_.partner)) {}

KeyOwner Keyring::owner_of(ReservationKey key) const {
  if (key == own_) return KeyOwner::own;
  const std::uint64_t node = key.value() & ~kLifeMask;
  if (node == (own_.value() & ~kLifeMask)) return KeyOwner::own_earlier;
  return node == partner_node_ ? KeyOwner::partner : KeyOwner::foreign;
}

std::string Keyring::title_of(ReservationKey key) const {
  switch (owner_of(key)) {
    case KeyOwner::own:
      return "this node's key " + text_of(key);
    case KeyOwner::own_earlier:
      return "this node's key " + text_of(key) + " of before it booted";
    case KeyOwner::partner:
      return names_.partner.text() + "'s key " + text_of(key);
    case KeyOwner::foreign:
      break;
  }
  return "the key " + text_of(key) + ", which is no node's of pair " + names_.pair.text();
}

}  // namespace hapair::agent
