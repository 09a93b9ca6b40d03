// Selectors compiled to flat rules: what the SPD and an inbound SA's check run over.
#pragma once

#include <cstdint>
#include <vector>

#include "pipelines/tables/ip_address.h"

namespace sealwire::pipelines {

/// The fields of a packet that selectors look at (RFC 4301 §4.4.1.1). Addresses in network order as
/// two words, so that a compare is a mask and an xor. IPv4: the address fills the first 4 octets of
/// `source`, the rest is zero.
struct PacketKey {
  std::uint64_t source[2];
  std::uint64_t destination[2];
  std::uint16_t source_port;  // host order
  std::uint16_t destination_port;
  std::uint8_t protocol;  // upper layer protocol, after IPv6 extension headers
  bool v6;
  bool ports_known;  // false: a later fragment, or a protocol that has none
  bool fragment;  // ports unknown because it is a later fragment, or the chain could not be walked
  bool operator==(const PacketKey&) const = default;
};
static_assert(sizeof(PacketKey) == 40);

/// A selector's prefixes and ranges, multiplied out: one of each.
struct FlatSelector {
  std::uint64_t source[2], source_mask[2];
  std::uint64_t destination[2], destination_mask[2];
  std::uint16_t source_first = 0, source_last = 65535;
  std::uint16_t destination_first = 0, destination_last = 65535;
  std::uint8_t protocol = 0;
  bool any_protocol = true;
  bool any_ports = true;

  bool addresses_match(const PacketKey& k) const {
    return (((k.source[0] ^ source[0]) & source_mask[0]) |
            ((k.source[1] ^ source[1]) & source_mask[1]) |
            ((k.destination[0] ^ destination[0]) & destination_mask[0]) |
            ((k.destination[1] ^ destination[1]) & destination_mask[1])) == 0 &&
           (any_protocol || protocol == k.protocol);
  }
  bool ports_match(const PacketKey& k) const {
    return any_ports ||
           (k.ports_known && k.source_port >= source_first && k.source_port <= source_last &&
            k.destination_port >= destination_first && k.destination_port <= destination_last);
  }
};

/// Appends `selector` multiplied out: rules for IPv4 go to `v4`, for IPv6 to `v6`; a selector
/// without addresses to both.
void flatten(const Selector& selector, std::vector<FlatSelector>& v4,
             std::vector<FlatSelector>& v6);

/// Any of a list of selectors.
class SelectorSet {
 public:
  SelectorSet() = default;
  explicit SelectorSet(const std::vector<Selector>& selectors);
  bool matches(const PacketKey& key) const {
    for (const FlatSelector& rule : key.v6 ? v6_ : v4_)
      if (rule.addresses_match(key) && rule.ports_match(key)) return true;
    return false;
  }

 private:
  std::vector<FlatSelector> v4_, v6_;
};

}  // namespace sealwire::pipelines
