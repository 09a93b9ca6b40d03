// Selectors compiled to flat rules: what the SPD and an inbound SA's check run over.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "pipelines/tables/ip_address.h"

namespace sealwire::pipelines {

/// One word of an address's two, for the hashes of caches.
constexpr std::uint64_t fold_address(const std::uint64_t (&words)[2]) {
  return words[0] ^ std::rotl(words[1], 32);
}

/// A hash of a packet's two ends, each in one word: its top bits are the best, every bit has come
/// there.
constexpr std::uint64_t hash_ends(std::uint64_t source, std::uint64_t destination) {
  const std::uint64_t both = source * 0x9E3779B97F4A7C15U ^ std::rotl(destination, 32);
  return both * 0x94D049BB133111EBU;
}

/// Source and destination address, each as PacketKey has it; or the masks of both.
struct AddressPair {
  std::uint64_t source[2];
  std::uint64_t destination[2];

  /// The addresses of a key, or of a pair, under these masks.
  template <class Addresses>
  AddressPair of(const Addresses& a) const {
    return {{a.source[0] & source[0], a.source[1] & source[1]},
            {a.destination[0] & destination[0], a.destination[1] & destination[1]}};
  }
  bool operator==(const AddressPair& other) const { return equals(other, true); }
  /// Of IPv4 only one word of each address is looked at: the other is zero in both.
  bool equals(const AddressPair& other, bool v6) const {
    std::uint64_t differs = (source[0] ^ other.source[0]) | (destination[0] ^ other.destination[0]);
    if (v6) differs |= (source[1] ^ other.source[1]) | (destination[1] ^ other.destination[1]);
    return differs == 0;
  }
};

/// The fields of a packet that selectors look at (RFC 4301 §4.4.1.1). Addresses in network order as
/// two words, so that a compare is a mask and an xor. IPv4: the address fills the first 4 octets of
/// `source`, the rest is zero. All in whole words, so that a key is made, hashed and compared in
/// registers.
struct PacketKey {
  std::uint64_t source[2];
  std::uint64_t destination[2];
  std::uint64_t upper;  // ports (source: bits 48.., destination: 32..), protocol (8..), flags

  static constexpr std::uint64_t kV6 = 1;
  static constexpr std::uint64_t kPortsKnown = 2;  // not: a later fragment, or there are none
  static constexpr std::uint64_t kFragment = 4;  // a later fragment, or a chain that is not walked
  /// `protocol`: of the upper layer, after IPv6 extension headers.
  static constexpr std::uint64_t protocol_bits(std::uint8_t protocol) {
    return std::uint64_t{protocol} << 8;
  }
  /// Host order, source port first.
  static constexpr std::uint64_t port_bits(std::uint32_t ports) {
    return std::uint64_t{ports} << 32 | kPortsKnown;
  }

  bool v6() const { return (upper & kV6) != 0; }
  bool ports_known() const { return (upper & kPortsKnown) != 0; }
  bool fragment() const { return (upper & kFragment) != 0; }
  std::uint8_t protocol() const { return static_cast<std::uint8_t>(upper >> 8); }
  std::uint16_t source_port() const { return static_cast<std::uint16_t>(upper >> 48); }
  std::uint16_t destination_port() const { return static_cast<std::uint16_t>(upper >> 32); }
  /// Word by word: of IPv4 the compiler knows what is zero.
  AddressPair addresses() const {
    return {{source[0], v6() ? source[1] : 0}, {destination[0], v6() ? destination[1] : 0}};
  }

  /// Of IPv4 only one word of each address is looked at: the other is zero in both.
  bool operator==(const PacketKey& other) const {
    std::uint64_t differs = (source[0] ^ other.source[0]) |
                            (destination[0] ^ other.destination[0]) | (upper ^ other.upper);
    if (v6()) differs |= (source[1] ^ other.source[1]) | (destination[1] ^ other.destination[1]);
    return differs == 0;
  }
};
static_assert(sizeof(PacketKey) == 40);

/// What a selector asks above the addresses.
struct UpperSelector {
  std::uint16_t source_first = 0, source_last = 65535;
  std::uint16_t destination_first = 0, destination_last = 65535;
  std::uint8_t protocol = 0;
  bool any_protocol = true;
  bool any_ports = true;

  bool protocol_matches(const PacketKey& k) const {
    return any_protocol || protocol == k.protocol();
  }
  bool ports_match(const PacketKey& k) const {
    return any_ports ||
           (k.ports_known() && k.source_port() >= source_first && k.source_port() <= source_last &&
            k.destination_port() >= destination_first && k.destination_port() <= destination_last);
  }
};

/// A selector's prefixes and ranges, multiplied out: one of each, of one family.
struct FlatSelector {
  UpperSelector upper;
  bool v6 = false;
  AddressPair addresses, masks;

  bool matches(const PacketKey& key) const {
    return v6 == key.v6() && masks.of(key).equals(addresses, v6) && upper.protocol_matches(key) &&
           upper.ports_match(key);
  }
};
static_assert(sizeof(FlatSelector) == 80);

/// `selector` multiplied out: rules for IPv4, then for IPv6; without addresses it has both.
std::vector<FlatSelector> flatten(const Selector& selector);

/// Any of a list of selectors. The first, which mostly is the only one, lies in the set itself.
class SelectorSet {
 public:
  SelectorSet() { first_.addresses.source[0] = 1; }  // under no mask: nothing matches
  explicit SelectorSet(const std::vector<Selector>& selectors);
  [[gnu::always_inline]] bool matches(const PacketKey& key) const {
    return first_.matches(key) || (!more_.empty() && more_match(key));
  }

 private:
  // The key by value: the caller's stays in registers.
  bool more_match(PacketKey key) const;

  FlatSelector first_{};
  std::vector<FlatSelector> more_;
};

}  // namespace sealwire::pipelines
