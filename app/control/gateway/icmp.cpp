#include "app/control/gateway/icmp.h"

#include <algorithm>
#include <cstring>

#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/icmp.h"
#include "pipelines/wire/udp.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;
using pipelines::IpAddress;
using pipelines::PuntMark;
using pipelines::Side;

namespace {

constexpr std::uint16_t kIpv4ErrorMost = 576;   // octets of a whole ICMP error, RFC 1812 §4.3.2.3
constexpr std::uint16_t kIpv6ErrorMost = 1280;  // RFC 4443 §2.4 (c)

// Errors are not sent about errors, later fragments, or to what is no single host (RFC 1122 §3.2.2,
// RFC 4443 §2.4 (e)).
bool deserves_error(const std::uint8_t* ip, const wire::IpPacket& packet) {
  if (packet.later_fragment) return false;
  const std::uint8_t* source = ip + (packet.v6 ? 8 : 12);
  if (packet.v6
          ? source[0] == 0xff || std::all_of(source, source + 16, [](auto o) { return o == 0; })
          : source[0] >= 224 || source[0] == 0 || source[0] == 127)
    return false;
  const bool icmp = packet.protocol == (packet.v6 ? wire::kProtocolIcmpv6 : wire::kProtocolIcmp);
  if (!icmp) return true;
  if (packet.upper_offset == 0 || packet.upper_offset >= packet.total_length) return false;
  const std::uint8_t type = ip[packet.upper_offset];
  if (packet.v6) return type >= 128;
  return type == wire::kIcmpEchoRequest || type == wire::kIcmpEchoReply;
}

void set_checksum(std::uint8_t* ip, bool v6, std::uint8_t* message, std::uint16_t length) {
  if (v6) {
    wire::set_ipv6_upper_checksum(ip, message, length, wire::kProtocolIcmpv6, message + 2);
    return;
  }
  message[2] = message[3] = 0;
  std::uint16_t checksum = wire::checksum_of(wire::sum_words(message, length));
  std::memcpy(message + 2, &checksum, 2);
}

}  // namespace

// Back where it came from: through policy and tunnel if it came that way, else to the MAC that sent
// it.
void Icmp::answer(rte_mbuf* m, rte_mbuf* cause, const PuntMark& mark) {
  if (mark.decrypted) return receive_again(context_, m, pipelines::Direction::egress, 0);
  const Side side = mark.from_outside ? Side::outside : Side::inside;
  if (mark.in_port >= context_.ports(side).size()) return rte_pktmbuf_free(m);
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  std::memcpy(frame, rte_pktmbuf_mtod(cause, const std::uint8_t*) + 6, 6);
  std::memcpy(frame + 6, context_.ports(side)[mark.in_port].mac, 6);
  send(context_, m, side, mark.in_port);
}

void Icmp::own(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (!parsed || parsed->fragment || parsed->upper_offset == 0) return;
  const auto length = static_cast<std::uint16_t>(parsed->total_length - parsed->upper_offset);
  const std::uint8_t* message = packet.data() + parsed->upper_offset;
  const std::uint8_t request = parsed->v6 ? wire::kIcmpv6EchoRequest : wire::kIcmpEchoRequest;
  if (length < sizeof(wire::IcmpHeader)) return;
  const bool good = parsed->v6 ? wire::ipv6_upper_checksum_good(packet.data(), message, length,
                                                                wire::kProtocolIcmpv6)
                               : wire::fold(wire::sum_words(message, length)) == 0xffff;
  if (!good) return;
  const bool too_big = parsed->v6 ? message[0] == wire::kIcmpv6PacketTooBig
                                  : message[0] == wire::kIcmpUnreachable &&
                                        message[1] == wire::kIcmpFragmentationNeeded;
  if (too_big && mark.from_outside && !mark.decrypted) {
    const std::uint32_t mtu =
        wire::load_be<std::uint32_t>(message + 4) & (parsed->v6 ? ~0U : 0xffffU);
    return path_mtu_.learn({message + 8, length - std::size_t{8}}, mtu, now);
  }
  if (message[0] != request || message[1] != 0) return;
  if (!echoes_.allow(now)) {
    ++context_.counters.rate_limited;
    return;
  }
  const std::uint16_t header = parsed->v6 ? 40 : 20;
  rte_mbuf* reply = new_frame(context_, static_cast<std::uint16_t>(14 + header + length));
  if (reply == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(reply, std::uint8_t*);
  std::uint8_t* ip = frame + 14;
  wire::store_be(frame + 12, parsed->v6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4);
  write_ip(ip, destination_address(packet.data(), parsed->v6),
           source_address(packet.data(), parsed->v6),
           parsed->v6 ? wire::kProtocolIcmpv6 : wire::kProtocolIcmp, length, 64);
  std::memcpy(ip + header, message, length);
  ip[header] = parsed->v6 ? wire::kIcmpv6EchoReply : wire::kIcmpEchoReply;
  set_checksum(ip, parsed->v6, ip + header, length);
  ++context_.counters.echo_replies;
  answer(reply, m, mark);
}

void Icmp::error(rte_mbuf* cause, const PuntMark& mark, std::uint8_t type, std::uint8_t code,
                 std::uint32_t rest) {
  const auto packet = layer3(cause);
  auto parsed = wire::parse_ip(packet);
  if (!parsed) return;
  const IpAddress to = source_address(packet.data(), parsed->v6);
  // What came through a tunnel is answered from the inside, so that the answer fits the tunnel's
  // selectors.
  const bool inside = mark.decrypted || !mark.from_outside;
  auto from = own_address(context_, inside ? Side::inside : Side::outside,
                          mark.decrypted ? std::uint16_t{0} : mark.in_port, to);
  if (!from) {
    ++context_.counters.ignored;
    return;
  }
  const std::uint16_t header = parsed->v6 ? 40 : 20;
  const std::uint16_t most = parsed->v6 ? kIpv6ErrorMost : kIpv4ErrorMost;
  const auto quoted =
      std::min<std::uint16_t>(parsed->total_length, static_cast<std::uint16_t>(most - header - 8));
  const auto length = static_cast<std::uint16_t>(8 + quoted);
  rte_mbuf* m = new_frame(context_, static_cast<std::uint16_t>(14 + header + length));
  if (m == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  std::uint8_t* ip = frame + 14;
  wire::store_be(frame + 12, parsed->v6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4);
  write_ip(ip, *from, to, parsed->v6 ? wire::kProtocolIcmpv6 : wire::kProtocolIcmp, length, 64);
  auto* icmp = wire::view_at<wire::IcmpHeader>(ip + header);
  icmp->type = type;
  icmp->code = code;
  icmp->rest = wire::Be32(rest);
  std::memcpy(ip + header + 8, packet.data(), quoted);
  set_checksum(ip, parsed->v6, ip + header, length);
  answer(m, cause, mark);
}

void Icmp::too_big(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (!parsed || !deserves_error(packet.data(), *parsed)) return;
  if (!errors_.allow(now)) {
    ++context_.counters.rate_limited;
    return;
  }
  ++context_.counters.too_big;
  if (parsed->v6) return error(m, mark, wire::kIcmpv6PacketTooBig, 0, mark.mtu);
  error(m, mark, wire::kIcmpUnreachable, wire::kIcmpFragmentationNeeded, mark.mtu);
}

void Icmp::time_exceeded(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (!parsed || !deserves_error(packet.data(), *parsed)) return;
  if (!errors_.allow(now)) {
    ++context_.counters.rate_limited;
    return;
  }
  ++context_.counters.time_exceeded;
  error(m, mark, parsed->v6 ? wire::kIcmpv6TimeExceeded : wire::kIcmpTimeExceeded, 0, 0);
}

}  // namespace sealwire::control::gateway
