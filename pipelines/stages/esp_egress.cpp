#include "pipelines/stages/esp_egress.h"

#include <rte_mbuf.h>

#include <algorithm>
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

// GMAC's AAD with ESN begins one word before the ESP header, over what ends the outer header.
bool aad_moves_header(const OutboundSa& sa) { return sa.esn && sa.transform == EspTransform::gmac; }

bool ours(const Packet& packet) {
  return packet.esp_out != nullptr && packet.drop == DropReason::none;
}

void rearm(OutboundSa& sa, SaEventKind kind) {
  if (sa.runtime.raised == 0) [[likely]]
    return;
  sa.runtime.raised = static_cast<std::uint8_t>(sa.runtime.raised & ~esp::event_bit(kind));
}

std::uint32_t inner_octets(const Packet& packet) {
  return packet.mbuf->data_len - std::uint32_t{kEthernetLength};
}

// Takes one number of an SA of which everything has to be asked.
[[gnu::noinline]] void take_number(OutboundSa& sa, Packet& packet) {
  OutboundRuntime& runtime = sa.runtime;
  const std::uint64_t number = runtime.next_sn.load(std::memory_order_relaxed);
  if (number >= sa.sn_limit.load(std::memory_order_acquire)) {
    esp::event(sa, SaEventKind::sn_exhausted);
    runtime.exhausted_drops.add(1);
    return drop(packet, DropReason::esp_sn_exhausted);
  }
  rearm(sa, SaEventKind::sn_exhausted);
  const std::uint32_t octets = inner_octets(packet);
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

// Packets in a row of one SA take their numbers without asking more than once, up to where
// something is due.
class Run {
 public:
  void take(Packet& packet) {
    if (packet.esp_out != sa_) begin(*packet.esp_out);
    if (next_ >= quiet_until_) [[unlikely]] {
      end();
      take_number(*sa_, packet);
      return begin(*sa_);
    }
    packet.sn = next_++;
    ++packets_;
    octets_ += inner_octets(packet);
  }
  void end() {
    if (packets_ == 0) return;
    sa_->runtime.next_sn.store(next_, std::memory_order_relaxed);
    sa_->runtime.packets.add(packets_);
    sa_->runtime.octets.add(octets_);
    packets_ = octets_ = 0;
  }

 private:
  void begin(OutboundSa& sa) {
    end();
    sa_ = &sa;
    next_ = sa.runtime.next_sn.load(std::memory_order_relaxed);
    quiet_until_ = std::min(sa.sn_limit.load(std::memory_order_acquire),
                            sa.sn_low_water.load(std::memory_order_relaxed));
    if (sa.limited || sa.runtime.raised != 0) quiet_until_ = 0;
  }

  OutboundSa* sa_ = nullptr;
  std::uint64_t next_ = 0, quiet_until_ = 0;
  std::uint64_t packets_ = 0, octets_ = 0;
};

bool has_room(const rte_mbuf* m, std::uint32_t head, std::uint32_t tail) {
  return rte_pktmbuf_headroom(m) >= head && rte_pktmbuf_tailroom(m) >= tail;
}

// Moves the frame toward the front if only the tail lacks room.
[[gnu::cold]] bool make_room(rte_mbuf* m, std::uint32_t head, std::uint32_t tail) {
  const std::uint32_t tailroom = rte_pktmbuf_tailroom(m);
  if (tailroom >= tail) return false;
  const std::uint32_t shift = tail - tailroom;
  if (rte_pktmbuf_headroom(m) < head + shift) return false;
  auto* data = rte_pktmbuf_mtod(m, std::uint8_t*);
  std::memmove(data - shift, data, m->data_len);
  m->data_off = static_cast<std::uint16_t>(m->data_off - shift);
  return true;
}

// The outer header at `ip`, in whole words: what was written is not read again while it is under
// way. `esp`: octets from the ESP header to the ICV.
[[gnu::always_inline]] inline void write_outer(std::uint8_t* ip, const OutboundSa& sa,
                                               std::uint32_t esp, const std::uint8_t* inner,
                                               bool inner_v6, std::uint64_t sn) {
  const auto inner_tos =
      inner_v6 ? static_cast<std::uint8_t>(wire::load_be<std::uint16_t>(inner) >> 4) : inner[1];
  const std::uint64_t tos = tunnel::outer_tos(sa, inner_tos);
  const bool udp = sa.udp;
  const std::uint64_t payload = esp + (udp ? 8U : 0U);
  if (sa.outer_v6) {
    // Version, TOS, no flow label; length, next header, hop limit.
    wire::store_be(ip,
                   std::uint64_t{6} << 60 | tos << 52 | payload << 16 | sa.next_header_hop_limit);
    std::memcpy(ip + 8, sa.header_from(8), 32);
  } else {
    const std::uint16_t inner_flags =
        inner_v6 ? wire::kIpv4DontFragment : wire::load_be<std::uint16_t>(inner + 6);
    // Version, TOS, length; identification, flags.
    const std::uint64_t first =
        wire::swap_to_big(std::uint64_t{0x45} << 56 | tos << 48 | (payload + 20) << 32 |
                          (sn & 0xffffU) << 16 | tunnel::outer_df(sa, inner_flags));
    const auto checksum =
        static_cast<std::uint16_t>(~wire::fold_words(wire::add_words(first, sa.checksum_base)));
    std::memcpy(ip, &first, 8);
    std::memcpy(ip + 8, sa.header_from(8), 12);
    std::memcpy(ip + 10, &checksum, 2);
  }
  if (udp) {
    std::uint8_t* const header = ip + sa.header_length - 8;
    std::memcpy(header, sa.header_from(sa.header_length - 8U), 8);
    wire::store_be(header + 4, static_cast<std::uint16_t>(esp + 8U));
  }
}

// The outer packet fits 16 bits: classify has seen that it fits the port.
void encapsulate(Burst& burst, Packet& packet) {
  const OutboundSa& sa = *packet.esp_out;
  rte_mbuf* const m = packet.mbuf;
  const std::uint64_t sn = packet.sn;
  const bool inner_v6 = (packet.flags & kPacketIpv6) != 0;
  const std::uint32_t length = inner_octets(packet);
  const std::uint32_t padding = (0U - (length + 2U)) & sa.pad_mask;
  const std::uint32_t sealed = length + padding + 2U;
  const std::uint32_t icv = sa.icv_length, front = sa.front;
  const std::uint32_t tail = padding + 2U + icv;
  if (!has_room(m, sa.headroom, tail) && !make_room(m, sa.headroom, tail)) [[unlikely]]
    return drop(packet, DropReason::no_headroom);
  auto* const old_l2 = rte_pktmbuf_mtod(m, std::uint8_t*);
  const std::uint8_t* const inner = old_l2 + kEthernetLength;
  std::uint8_t* const l2 = old_l2 - front;
  std::uint8_t* const ip = l2 + kEthernetLength;
  const std::uint32_t outer = sa.header_length;
  std::uint8_t* const header = ip + outer;
  m->data_off = static_cast<std::uint16_t>(m->data_off - front);
  m->pkt_len = kEthernetLength + length + front + tail;
  m->data_len = static_cast<std::uint16_t>(m->pkt_len);
  packet.l3_length = static_cast<std::uint16_t>(outer);
  wire::EthernetWords(old_l2).store(l2);
  write_outer(ip, sa, length + front + tail - outer, inner, inner_v6, sn);
  std::uint8_t* const trailer = old_l2 + kEthernetLength + length;
  wire::write_padding(trailer, padding);
  trailer[padding] = static_cast<std::uint8_t>(padding);
  trailer[padding + 1] = inner_v6 ? wire::kProtocolIpv6 : wire::kProtocolIpv4;
  std::memcpy(header, &sa.spi_be, 4);
  wire::store_be(header + 4, static_cast<std::uint32_t>(sn));
  const EspTransform transform = sa.transform;
  if (esp::is_aead(transform)) crypto::nonce::esp_iv(crypto::SeqNo(sn), header + 8);
  std::uint8_t* const aad = aad_moves_header(sa) ? header - 4 : l2 - kEsnAadLength;
  packet.op = static_cast<std::uint8_t>(burst.batch.count);
  crypto::AeadOp& op = burst.batch.add();
  esp::fill_op(op, sa, header, sealed, sn, aad);
  if (transform == EspTransform::cbc_hmac) {
    const crypto::Spi spi(wire::load_be<std::uint32_t>(&sa.spi_be));
    crypto::nonce::cbc_counter_block(spi, crypto::SeqNo(sn), op.iv);
  }
}

}  // namespace

void order(Burst& burst) {
  Run run;
  for (Packet& packet : burst.all())
    if (ours(packet)) run.take(packet);
  run.end();
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
    if (!sa.udp && !aad_moves_header(sa)) [[likely]]
      continue;
    std::uint8_t* ip = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*) + kEthernetLength;
    std::uint8_t* header = ip + sa.header_length;
    const std::uint32_t length = inner_octets(packet) - sa.header_length;
    if (aad_moves_header(sa)) {
      std::memcpy(header, &sa.spi_be, 4);
      std::memcpy(header - 4, sa.header_from(sa.header_length - 4U), 4);
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
