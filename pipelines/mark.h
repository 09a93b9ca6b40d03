// What travels with a packet between workers and the control thread: why it was punted, or how to
// go on with an injected one. It lies at the very start of the mbuf's headroom, so it needs no
// dynamic field and no second object; the headroom's end, where headers are pushed, is never that
// deep when a packet changes hands.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "pipelines/tables/ip_address.h"

namespace sealwire::pipelines {

enum class PuntReason : std::uint8_t {
  eapol,       // for the KaY
  arp,         // ARP request or reply
  own,         // IP to one of our addresses: ICMP, IKE
  neighbour,   // ND and other ICMPv6 on the link
  unresolved,  // forward it once `next_hop` on `port` is resolved; the frame is as it was received
  too_big,     // answer with Packet Too Big, `mtu` octets
  ttl,         // answer with Time Exceeded
  fragment,    // fragment of an outer packet to us: reassemble
};

struct PuntMark {
  static constexpr std::uint32_t kMagic = 0x53575055;
  std::uint32_t magic = kMagic;
  PuntReason reason{};
  bool from_outside = false;  // the side it was received on
  bool to_outside = false;    // unresolved: the side of next_hop
  bool decrypted = false;  // came through an inbound SA: what answers it goes back through policy
  std::uint16_t in_port = 0;  // index into that side's ports
  std::uint16_t port = 0;     // unresolved: index into the ports of next_hop's side
  std::uint16_t mtu = 0;
  std::uint16_t l2_length = 0;
  IpAddress next_hop{};
};

enum class InjectStages : std::uint8_t {
  clear,  // transmitted as it is: EAPOL
  seal,   // MACsec only, where the line has it: our own ARP, ND, ICMP, IKE, keepalives
  full,   // as if received on `port` just now; on ingress: as if MACsec had just opened it
};

struct InjectMark {
  static constexpr std::uint32_t kMagic = 0x5357494e;
  std::uint32_t magic = kMagic;
  InjectStages stages{};
  std::uint8_t spare = 0;
  std::uint16_t port =
      0;  // clear, seal: index of the port it leaves by; full: of the one it came from
};

static_assert(std::is_trivially_copyable_v<PuntMark> && sizeof(PuntMark) <= 48);
static_assert(std::is_trivially_copyable_v<InjectMark> && sizeof(InjectMark) <= 48);

// False if the headroom is too small to hold it: drop the packet then.
template <class Mark>
bool set_mark(rte_mbuf* m, const Mark& mark) {
  if (rte_pktmbuf_headroom(m) < sizeof(Mark)) return false;
  std::memcpy(m->buf_addr, &mark, sizeof mark);
  return true;
}

// The mark; with another magic if there was none.
template <class Mark>
Mark get_mark(const rte_mbuf* m) {
  Mark mark;
  mark.magic = 0;
  if (rte_pktmbuf_headroom(m) >= sizeof(Mark)) std::memcpy(&mark, m->buf_addr, sizeof mark);
  return mark;
}

}  // namespace sealwire::pipelines
