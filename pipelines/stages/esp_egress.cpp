#include "pipelines/stages/esp_egress.h"

#include <rte_mbuf.h>

#include <cstring>

#include "crypto/nonce.h"
#include "pipelines/stages/esp_sa.h"
#include "pipelines/stages/tunnel.h"
#include "pipelines/tables/sad.h"
#include "pipelines/wire/be.h"
#include "pipelines/wire/esp.h"
#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"

namespace sealwire::pipelines::esp_egress {
namespace {

constexpr std::uint16_t kEthernetLength = 14;

bool ours(const Packet& packet) {
  return packet.esp_out != nullptr && packet.drop == DropReason::none;
}

void rearm(OutboundSa& sa, SaEventKind kind) {
  if (sa.runtime.raised == 0) [[likely]]
    return;
  sa.runtime.raised = static_cast<std::uint8_t>(sa.runtime.raised & ~esp::event_bit(kind));
}

void take_number(Packet& packet) {
  OutboundSa& sa = *packet.esp_out;
  OutboundRuntime& runtime = sa.runtime;
  const std::uint64_t number = runtime.next_sn.load(std::memory_order_relaxed);
  if (number >= sa.sn_limit.load(std::memory_order_acquire)) {
    esp::event(sa, SaEventKind::sn_exhausted);
    runtime.exhausted_drops.add(1);
    return drop(packet, DropReason::esp_sn_exhausted);
  }
  rearm(sa, SaEventKind::sn_exhausted);
  const std::uint32_t octets = packet.mbuf->data_len - kEthernetLength;
  if (!esp::within_lifetime(sa, runtime.spent, octets)) {
    runtime.spent = true;
    runtime.lifetime_drops.add(1);
    return drop(packet, DropReason::esp_lifetime_expired);
  }
  if (number >= sa.sn_low_water.load(std::memory_order_relaxed)) {
    esp::event(sa, SaEventKind::sn_low);
  } else {
    rearm(sa, SaEventKind::sn_low);
  }
  packet.sn = number;
  runtime.next_sn.store(number + 1, std::memory_order_relaxed);
  runtime.packets.add(1);
  runtime.octets.add(octets);
}

// Geometry of one sealed packet, all in octets.
struct Layout {
  std::uint32_t inner;  // IP packet
  std::uint32_t padding;
  std::uint32_t sealed;  // inner, padding, trailer
  std::uint32_t esp;     // ESP header to ICV
  std::uint32_t front;   // what is pushed in front of the inner packet
  std::uint32_t tail;    // what is appended to it
};

Layout layout_of(const OutboundSa& sa, std::uint32_t inner) {
  Layout l;
  l.inner = inner;
  l.padding = (0U - (inner + 2U)) & sa.pad_mask;
  l.sealed = inner + l.padding + 2U;
  l.esp = 8U + sa.iv_length + l.sealed + sa.icv_length;
  l.front = sa.header_length + 8U + sa.iv_length;
  l.tail = l.padding + 2U + sa.icv_length;
  return l;
}

// Makes room at both ends; moves the frame toward the front if only the tail lacks some.
bool make_room(rte_mbuf* m, const Layout& l) {
  std::uint32_t headroom = rte_pktmbuf_headroom(m);
  std::uint32_t tailroom = rte_pktmbuf_tailroom(m);
  if (headroom < l.front) return false;
  if (tailroom >= l.tail) return true;
  std::uint32_t shift = l.tail - tailroom;
  if (headroom < l.front + shift) return false;
  auto* data = rte_pktmbuf_mtod(m, std::uint8_t*);
  std::memmove(data - shift, data, m->data_len);
  m->data_off = static_cast<std::uint16_t>(m->data_off - shift);
  return true;
}

// `inner_df`, `inner_tos` of the inner packet; `ip` is where the outer header goes.
void write_outer(std::uint8_t* ip, const OutboundSa& sa, const Layout& l, const std::uint8_t* inner,
                 std::uint64_t sn) {
  const bool inner_v6 = inner[0] >> 4 == 6;
  const auto inner_tos =
      inner_v6 ? static_cast<std::uint8_t>(wire::load_be<std::uint16_t>(inner) >> 4) : inner[1];
  const bool inner_df = !inner_v6 && (inner[6] & 0x40U) != 0;
  const std::uint8_t tos = tunnel::outer_tos(sa, inner_tos);
  const auto payload = static_cast<std::uint16_t>(l.esp + (sa.udp ? 8U : 0U));
  // Lengths known to the compiler; what was written is not read again while it is under way.
  if (sa.outer_v6) {
    std::memcpy(ip, sa.header.data(), 40);
    wire::store_be(ip, static_cast<std::uint16_t>(0x6000U | static_cast<unsigned>(tos) << 4U));
    wire::store_be(ip + 4, payload);
  } else {
    std::memcpy(ip, sa.header.data(), 20);
    const bool df = tunnel::outer_df(sa.df, inner_v6, inner_df);
    const auto length = wire::swap_to_big(static_cast<std::uint16_t>(payload + 20U));
    const auto identification = wire::swap_to_big(static_cast<std::uint16_t>(sn));
    const auto flags = wire::swap_to_big(static_cast<std::uint16_t>(df ? 0x4000U : 0U));
    // The template's version octet is in checksum_base already; the first word adds only TOS.
    const std::uint32_t sum = std::uint32_t{sa.checksum_base} +
                              wire::swap_to_big(std::uint16_t{tos}) + length + identification +
                              flags;
    const std::uint16_t checksum = wire::checksum_of(sum);
    ip[1] = tos;
    std::memcpy(ip + 2, &length, 2);
    std::memcpy(ip + 4, &identification, 2);
    std::memcpy(ip + 6, &flags, 2);
    std::memcpy(ip + 10, &checksum, 2);
  }
  if (sa.udp) {
    std::uint8_t* const udp = ip + sa.header_length - 8;
    std::memcpy(udp, sa.header.data() + sa.header_length - 8, 8);
    wire::store_be(udp + 4, static_cast<std::uint16_t>(l.esp + 8U));
  }
}

void encapsulate(Burst& burst, Packet& packet) {
  const OutboundSa& sa = *packet.esp_out;
  rte_mbuf* m = packet.mbuf;
  const Layout l = layout_of(sa, m->data_len - kEthernetLength);
  if (l.esp + sa.header_length > 0xffffU || !make_room(m, l))
    return drop(packet, DropReason::no_headroom);
  auto* old_l2 = rte_pktmbuf_mtod(m, std::uint8_t*);
  const std::uint8_t* inner = old_l2 + kEthernetLength;
  const wire::EthernetWords layer2(old_l2);
  std::uint8_t* ip = old_l2 + kEthernetLength - l.front;
  std::uint8_t* header = ip + sa.header_length;
  write_outer(ip, sa, l, inner, packet.sn);
  layer2.store(ip - kEthernetLength);
  std::memcpy(header, &sa.spi_be, 4);
  wire::store_be(header + 4, static_cast<std::uint32_t>(packet.sn));
  std::uint8_t* trailer = header + 8 + sa.iv_length + l.inner;
  wire::write_padding(trailer, l.padding);
  trailer[l.padding] = static_cast<std::uint8_t>(l.padding);
  trailer[l.padding + 1] = inner[0] >> 4 == 6 ? wire::kProtocolIpv6 : wire::kProtocolIpv4;
  m->data_off = static_cast<std::uint16_t>(m->data_off - l.front);
  m->data_len = static_cast<std::uint16_t>(m->data_len + l.front + l.tail);
  m->pkt_len = m->data_len;
  packet.l3_length = sa.header_length;
  packet.op = static_cast<std::uint8_t>(burst.batch.count);
  crypto::AeadOp& op = burst.batch.add();
  const crypto::SeqNo sn(packet.sn);
  if (esp::is_aead(sa.transform)) crypto::nonce::esp_iv(sn, header + 8);
  esp::fill_op(op, sa, header, l.sealed, packet.sn);
  if (sa.transform == EspTransform::cbc_hmac) {
    const crypto::Spi spi(wire::load_be<std::uint32_t>(&sa.spi_be));
    crypto::nonce::cbc_counter_block(spi, sn, op.iv);
  }
}

}  // namespace

void order(Burst& burst) {
  for (Packet& packet : burst.all())
    if (ours(packet)) take_number(packet);
}

void build(Burst& burst) {
  burst.batch.reset(crypto::Direction::seal);
  for (Packet& packet : burst.all()) {
    packet.op = kNoOp;
    if (ours(packet)) encapsulate(burst, packet);
  }
}

void finish(Burst& burst) {
  for (Packet& packet : burst.all()) {
    if (!ours(packet) || packet.op == kNoOp) continue;
    const crypto::AeadOp& op = burst.batch.ops[packet.op];
    packet.op = kNoOp;
    if (op.status != crypto::OpStatus::ok) {
      drop(packet, DropReason::crypto_error);
      continue;
    }
    const OutboundSa& sa = *packet.esp_out;
    std::uint8_t* ip = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*) + kEthernetLength;
    std::uint8_t* header = ip + sa.header_length;
    const std::uint32_t length = packet.mbuf->data_len - kEthernetLength - sa.header_length;
    if (sa.esn && esp::is_aead(sa.transform)) {
      std::memcpy(header, &sa.spi_be, 4);
      std::memcpy(header - 4, sa.header.data() + sa.header_length - 4, 4);
      if (sa.udp) wire::store_be(header - 4, static_cast<std::uint16_t>(length + 8U));
    }
    // IPv6 wants the checksum that IPv4 may leave out (RFC 3948 §2.1, RFC 8200 §8.1).
    if (sa.udp && sa.outer_v6) {
      wire::set_ipv6_upper_checksum(ip, header - 8, static_cast<std::uint16_t>(length + 8U),
                                    wire::kProtocolUdp, header - 2);
    }
  }
}

}  // namespace sealwire::pipelines::esp_egress
