// IPv4 and IPv6 headers (RFC 791, RFC 8200), their checksum (RFC 1071, RFC 1624), and a parse that
// is bounded by the packet.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "pipelines/wire/be.h"

namespace sealwire::pipelines::wire {

inline constexpr std::uint8_t kProtocolHopByHop = 0;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolIpv4 = 4;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolDccp = 33;
inline constexpr std::uint8_t kProtocolIpv6 = 41;
inline constexpr std::uint8_t kProtocolRouting = 43;
inline constexpr std::uint8_t kProtocolFragment = 44;
inline constexpr std::uint8_t kProtocolEsp = 50;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
inline constexpr std::uint8_t kProtocolNone = 59;
inline constexpr std::uint8_t kProtocolDestinationOptions = 60;
inline constexpr std::uint8_t kProtocolSctp = 132;
inline constexpr std::uint8_t kProtocolUdpLite = 136;

inline constexpr std::uint16_t kIpv4DontFragment = 0x4000;
inline constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr std::uint16_t kIpv4OffsetMask = 0x1fff;  // in units of 8 octets

struct Ipv4Header {
  std::uint8_t version_ihl;
  std::uint8_t tos;  // DSCP (6 bits), ECN (2)
  Be16 total_length;
  Be16 id;
  Be16 fragment;  // flags and offset
  std::uint8_t ttl;
  std::uint8_t protocol;
  std::uint8_t checksum[2];
  std::uint8_t source[4];
  std::uint8_t destination[4];
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);

struct Ipv6Header {
  Be32 version_class_flow;
  Be16 payload_length;
  std::uint8_t next_header;
  std::uint8_t hop_limit;
  std::uint8_t source[16];
  std::uint8_t destination[16];
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

/// The sum's carries added back in: 33 bits or fewer are left of 64.
constexpr std::uint64_t fold_wide(std::uint64_t sum) { return (sum & 0xffffffffU) + (sum >> 32); }

/// One's complement sum of 16-bit words as they lie in memory; an odd last octet is padded. Not
/// complemented.
inline std::uint32_t sum_words(const std::uint8_t* data, std::size_t length,
                               std::uint32_t sum = 0) {
  std::uint64_t wide = sum;
  for (; length >= 4; data += 4, length -= 4) {
    std::uint32_t word;
    std::memcpy(&word, data, 4);
    wide += word;
  }
  if (length >= 2) {
    std::uint16_t word;
    std::memcpy(&word, data, 2);
    wide += word;
    data += 2;
    length -= 2;
  }
  if (length == 1) {
    const std::uint8_t last[2] = {*data, 0};
    std::uint16_t word;
    std::memcpy(&word, last, 2);
    wide += word;
  }
  wide = fold_wide(fold_wide(wide));
  return static_cast<std::uint32_t>((wide & 0xffffU) + (wide >> 16));
}

/// One's complement sum of two sums of words.
inline std::uint64_t add_words(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum + (sum < a ? 1 : 0);
}

/// One's complement sum of the four words of `sum`, in 16 bits: halves are added until one is left.
inline std::uint32_t fold_words(std::uint64_t sum) {
  sum += std::rotl(sum, 32);  // the upper half is now the sum of both, carry included
  const auto half = static_cast<std::uint32_t>(sum >> 32);
  return (half + std::rotl(half, 16)) >> 16;
}

/// sum_words() of the 20 octets of an IPv4 header without options.
inline std::uint32_t sum_ipv4_header(const std::uint8_t* ip) {
  std::uint64_t first, second;
  std::uint32_t third;
  std::memcpy(&first, ip, 8);
  std::memcpy(&second, ip + 8, 8);
  std::memcpy(&third, ip + 16, 4);
  return fold_words(add_words(add_words(first, third), second));
}

inline std::uint16_t fold(std::uint32_t sum) {
  sum = (sum & 0xffffU) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xffffU) + (sum >> 16));
}

/// The checksum for what sum_words() summed, in memory order: store it with memcpy.
inline std::uint16_t checksum_of(std::uint32_t sum) {
  return static_cast<std::uint16_t>(~fold(sum));
}

/// RFC 1624: the checksum after one 16-bit word changed. All in memory order.
inline std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t before,
                                      std::uint16_t after) {
  std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  return static_cast<std::uint16_t>(~fold(sum));
}

/// Gives two octets of an IPv4 header at `word` new values, keeping its checksum right.
inline void replace_word(std::uint8_t* ip, std::uint8_t* word, std::array<std::uint8_t, 2> octets) {
  std::uint16_t before, checksum;
  std::memcpy(&before, word, 2);
  std::memcpy(&checksum, ip + 10, 2);
  const auto after = std::bit_cast<std::uint16_t>(octets);
  checksum = updated_checksum(checksum, before, after);
  std::memcpy(word, &after, 2);
  std::memcpy(ip + 10, &checksum, 2);
}

inline void set_ipv4_checksum(std::uint8_t* ip, std::uint16_t header_length) {
  ip[10] = ip[11] = 0;
  std::uint16_t sum = checksum_of(sum_words(ip, header_length));
  std::memcpy(ip + 10, &sum, 2);
}

/// How much is known of a packet before it is parsed. Plain IPv4 has no options and is no fragment,
/// as is_plain() shows: most are, and what follows is short for them.
enum class Form : std::uint8_t { plain_ipv4, ipv4, ipv6 };

/// What the parse of a header has shown about a packet.
struct IpPacket {
  bool v6;
  std::uint8_t tos;
  std::uint8_t ttl;
  std::uint8_t protocol;        // upper layer, after IPv6 extension headers
  std::uint16_t header_length;  // IPv4 with options, or 40
  std::uint16_t total_length;   // header and payload: at most the octets given
  std::uint16_t upper_offset;   // where the upper layer begins; 0 if that cannot be told
  bool dont_fragment;           // IPv4 DF
  bool fragment;                // one of several fragments
  bool later_fragment;          // not the first one: no upper layer header here
};

constexpr bool is_ipv6_extension(std::uint8_t next) {
  return next == kProtocolHopByHop || next == kProtocolRouting ||
         next == kProtocolDestinationOptions || next == kProtocolFragment;
}

/// What lies behind the extension headers of an IPv6 packet.
struct UpperLayer {
  std::uint16_t offset = 0;  // 0: cut, too many, or a later fragment
  std::uint8_t protocol = 0;
  bool fragment = false;
  bool later_fragment = false;
};

/// Follows at most 8 extension headers, the first of which is `next`.
inline UpperLayer walk_ipv6_extensions(const std::uint8_t* data, std::uint16_t total_length,
                                       std::uint8_t next) {
  UpperLayer upper;
  upper.protocol = next;
  std::uint32_t at = sizeof(Ipv6Header);
  for (int i = 0; i < 8 && is_ipv6_extension(next); ++i) {
    if (total_length < at + 8) return upper;
    std::uint32_t length = 8;
    if (next == kProtocolFragment) {
      // An atomic fragment (offset 0, no more) is a whole packet (RFC 6946).
      std::uint16_t offset = load_be<std::uint16_t>(data + at + 2);
      if ((offset & 0xfff9U) != 0) upper.fragment = true;
      if ((offset & 0xfff8U) != 0) upper.later_fragment = true;
    } else {
      length = (data[at + 1] + 1U) * 8U;
    }
    next = data[at];
    upper.protocol = next;
    at += length;
    if (upper.later_fragment) return upper;
  }
  if (at <= total_length && !is_ipv6_extension(next)) upper.offset = static_cast<std::uint16_t>(at);
  return upper;
}

/// Version 4, a header of 20 octets, the whole datagram? At least 20 octets are there.
inline bool is_plain(const std::uint8_t* ip) {
  std::uint16_t fragment;
  std::memcpy(&fragment, ip + 6, 2);
  constexpr std::uint16_t kAny = kIpv4MoreFragments | kIpv4OffsetMask;
  return ip[0] == 0x45 && (fragment & swap_to_big(kAny)) == 0;
}

/// Checks an IP header against the octets that are there: version, header length, total length, and
/// for IPv4 the checksum. Octets beyond total_length are padding. False if any of it is wrong;
/// `packet` is worth nothing then. Inline, field by field and for one form: a caller whose
/// IpPacket stays its own has it in registers, where a copy would wait for its narrower stores, and
/// what follows is compiled for that form.
template <Form F>
requires(F != Form::ipv6)
    [[gnu::always_inline]] inline bool parse(std::span<const std::uint8_t> octets,
                                             IpPacket& packet) {
  constexpr bool kPlain = F == Form::plain_ipv4;
  const std::uint8_t* data = octets.data();
  if (!kPlain && (octets.size() < sizeof(Ipv4Header) || data[0] >> 4 != 4)) return false;
  const auto* ip = view_at<Ipv4Header>(data);
  const auto header =
      static_cast<std::uint16_t>(kPlain ? sizeof(Ipv4Header) : (data[0] & 0x0fU) * 4U);
  const std::uint16_t total = ip->total_length.value();
  if (header < sizeof(Ipv4Header) || total < header || total > octets.size()) return false;
  const std::uint32_t sum =
      header == sizeof(Ipv4Header) ? sum_ipv4_header(data) : fold(sum_words(data, header));
  if (sum != 0xffff) return false;
  const std::uint16_t fragment = ip->fragment.value();
  packet.v6 = false;
  packet.tos = ip->tos;
  packet.ttl = ip->ttl;
  packet.protocol = ip->protocol;
  packet.header_length = header;
  packet.total_length = total;
  packet.dont_fragment = (fragment & kIpv4DontFragment) != 0;
  packet.fragment = !kPlain && (fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  packet.later_fragment = !kPlain && (fragment & kIpv4OffsetMask) != 0;
  packet.upper_offset = packet.later_fragment ? std::uint16_t{0} : header;
  return true;
}

template <Form F>
requires(F == Form::ipv6)
    [[gnu::always_inline]] inline bool parse(std::span<const std::uint8_t> octets,
                                             IpPacket& packet) {
  const std::uint8_t* data = octets.data();
  if (octets.size() < sizeof(Ipv6Header) || data[0] >> 4 != 6) return false;
  const auto* ip = view_at<Ipv6Header>(data);
  const std::size_t total = std::size_t{ip->payload_length.value()} + sizeof(Ipv6Header);
  if (total > octets.size() || total > 0xffff) return false;
  packet.v6 = true;
  packet.tos = static_cast<std::uint8_t>(load_be<std::uint16_t>(data) >> 4);
  packet.ttl = ip->hop_limit;
  packet.protocol = ip->next_header;
  packet.header_length = sizeof(Ipv6Header);
  packet.total_length = static_cast<std::uint16_t>(total);
  packet.upper_offset = sizeof(Ipv6Header);
  packet.dont_fragment = packet.fragment = packet.later_fragment = false;
  if (is_ipv6_extension(packet.protocol)) {
    const UpperLayer upper = walk_ipv6_extensions(data, packet.total_length, packet.protocol);
    packet.protocol = upper.protocol;
    packet.upper_offset = upper.offset;
    packet.fragment = upper.fragment;
    packet.later_fragment = upper.later_fragment;
  }
  return true;
}

/// The same of either family, for those who are not in a hurry: nothing if any of it is wrong.
inline std::optional<IpPacket> parse_ip(std::span<const std::uint8_t> octets) {
  IpPacket packet;
  const bool good = !octets.empty() && octets[0] >> 4 == 6 ? parse<Form::ipv6>(octets, packet)
                                                           : parse<Form::ipv4>(octets, packet);
  return good ? std::optional(packet) : std::nullopt;
}

/// Replaces the ECN bits, keeping the IPv4 checksum right.
inline void set_ecn(std::uint8_t* ip, bool v6, std::uint8_t ecn) {
  if (v6) {
    ip[1] = static_cast<std::uint8_t>((ip[1] & 0xcfU) | (ecn << 4U));
    return;
  }
  replace_word(ip, ip, {ip[0], static_cast<std::uint8_t>((ip[1] & 0xfcU) | ecn)});
}

/// One hop: TTL or hop limit less one. The caller has shown that it is at least 1.
inline void decrement_ttl(std::uint8_t* ip, bool v6) {
  if (v6) {
    --ip[7];
    return;
  }
  // RFC 1141: its word's high octet has one less, so the checksum's has one more.
  std::uint16_t checksum;
  std::memcpy(&checksum, ip + 10, 2);
  const std::uint32_t sum = std::uint32_t{checksum} + swap_to_big(std::uint16_t{0x0100});
  checksum = static_cast<std::uint16_t>(sum + (sum >= 0xffff ? 1U : 0U));  // -0 is never sent
  --ip[8];
  std::memcpy(ip + 10, &checksum, 2);
}

}  // namespace sealwire::pipelines::wire
