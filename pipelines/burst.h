// A burst and its packets: the unit that receives a ticket, passes the turns and is worked on by
// one worker only.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/aead.h"
#include "pipelines/counters.h"
#include "pipelines/drop_reason.h"

struct rte_mbuf;

namespace sealwire::pipelines {

struct LineSnapshot;  // pipelines/line.h
struct LineDirection;
struct OutboundSa;  // pipelines/tables/sad.h
struct InboundSa;
class FlowCache;    // pipelines/tables/spd.h
struct TransmitSa;  // pipelines/tables/secy.h
struct ReceiveSa;
namespace forward {
class HopCache;  // pipelines/stages/forward.h
}

// A burst is bounded in packets and in bytes, and is never held back to fill up.
inline constexpr std::uint16_t kBurstPackets = 64;
inline constexpr std::uint32_t kBurstOctets = 256 * 1024;

// One packet's working state. Lives in its burst from RX to TX; the mbuf is owned by the burst.
// SA pointers are pinned: valid until the burst is done, by QSBR.
struct alignas(64) Packet {
  rte_mbuf* mbuf;
  union {                 // ESP; null: not an ESP packet of ours (bypass, control)
    OutboundSa* esp_out;  // egress, set by classify
    InboundSa* esp_in;    // ingress, set by crypt (SPI look-up)
  };
  std::uint64_t sn;  // extended sequence number, host order: taken (egress) or inferred (ingress)
  union {            // MACsec; null: passes in clear by configuration, or the KaY's own
    TransmitSa* macsec_out;
    ReceiveSa* macsec_in;
  };
  std::uint64_t pn;  // 64-bit PN, host order: taken (egress) or recovered (ingress)
  std::uint16_t
      l2_length;  // octets from the frame's start to the payload after (VLAN-tagged) Ethernet
  std::uint16_t l3_length;      // length of the IP header at l2_length, 0 if not IP
  std::uint16_t secure_length;  // MACsec: octets of user data after the addresses
  std::uint16_t flags;          // PacketFlag
  std::uint8_t in_port;     // index into the ports it came from: the line's inside ones on egress,
                            // outside on ingress
  std::uint8_t port;        // index into the ports it leaves by; 0 until a stage decides
  std::uint8_t to_inside;   // 1: leaves by the line's inside ports, 0: by the outside ports; set
                            // with the direction
  DropReason drop;          // none while alive
  std::uint8_t op;          // index of its operation in Burst::batch, kNoOp if none
  std::uint8_t tci;         // MACsec: TCI/AN of the SecTAG, sent or received
  std::uint8_t clear_tags;  // MACsec: VLAN tags ahead of the SecTAG, 0..2
  std::uint8_t spare;
  std::uint32_t clear_tag[2];  // MACsec: those tags while they are out of the frame, as on the wire
};
static_assert(sizeof(Packet) == 64);

inline constexpr std::uint8_t kNoOp = 0xFF;

enum PacketFlag : std::uint16_t {
  kPacketControl = 1,       // injected by the control thread; skips the stages named in its mark
  kPacketIpv6 = 2,          // the (inner) packet is IPv6
  kPacketInvalid = 4,       // MACsec ICV wrong, or not checked where it had to be
  kPacketUntagged = 8,      // came without a SecTAG and is delivered: validateFrames not strict
  kPacketUnchecked = 16,    // MACsec ICV not checked: validateFrames disabled
  kPacketOpened = 32,       // passed the first checks of macsec ingress; settle gives the verdict
  kPacketScKnown = 64,      // InPktsNoSA(Error): the SC exists, its SA is not in use
  kPacketSkipEsp = 128,     // leaves without ESP: inject_clear, inject_seal, BYPASS
  kPacketSkipMacsec = 256,  // leaves without MACsec: inject_clear
  kPacketNoSa = 512,        // delivered stripped although no SA was in use: InPktsNoSA
  kPacketStrict = 1024,     // validateFrames was strict when its first checks were made
  kPacketEspOpened = 2048,  // ESP ICV verified; settle checks its number, whatever else was found
};

// Where a burst stands on its way. The steps of crypt are resumable: submit, then poll until the
// engine is done.
enum class BurstStep : std::uint8_t {
  received,     // waits for classify (own queues: and its number turn)
  classified,   // waits for its number turn
  build_first,  // first AEAD round: ESP outbound, or MACsec inbound
  wait_first,
  build_second,  // second round of [esp, macsec]
  wait_second,
  crypted,  // waits for its send turn
};

// packets[0..count) keep their places from RX to the sweep before TX: a packet dropped on the way
// only gets its reason, every step skips it, and the settles still count it. So an index is the
// same packet throughout.
struct Burst {
  LineDirection* direction = nullptr;
  const LineSnapshot* line = nullptr;  // pinned when received
  std::uint64_t ticket = 0;
  std::uint16_t count = 0;
  BurstStep step = BurstStep::received;
  bool numbered = false;       // PNs were taken in the receive turn already
  bool timed = false;          // its turns are timed
  std::uint16_t worker = 0;    // the lane's index among its direction's: chooses among RFC 9611 SAs
  FlowCache* flows = nullptr;  // the lane's, for a line with esp
  forward::HopCache* hops = nullptr;  // the same
  std::array<Packet, kBurstPackets> packets;
  crypto::AeadBatch batch;

  std::span<Packet> all() { return {packets.data(), count}; }

  // Frees the packets marked with a drop reason and counts them, hands punted ones to the control
  // thread, and closes the gaps; order is kept. The only way out of a burst beside TX. Send turn,
  // after the settles.
  void sweep(LaneCounters& counters);
};

// Sets a drop reason; the first one stays.
inline void drop(Packet& packet, DropReason reason) {
  if (packet.drop == DropReason::none) packet.drop = reason;
}

// A packet for the control thread is dropped for one of these reasons after set_mark() (mark.h) put
// a PuntMark in its headroom; the sweep hands it over as it then is. One that has no room for a
// mark is dropped as no_headroom.
constexpr bool for_control(DropReason reason) {
  return reason == DropReason::punted || reason == DropReason::packet_too_big ||
         reason == DropReason::ttl_expired || reason == DropReason::no_neighbour;
}

}  // namespace sealwire::pipelines
