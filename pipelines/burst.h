// A burst and its packets: the unit that receives a ticket, passes the turns and is worked on by one worker only.
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
struct OutboundSa;    // pipelines/tables/sad.h
struct InboundSa;
struct TransmitSa;    // pipelines/tables/secy.h
struct ReceiveSa;

// A burst is bounded in packets and in bytes, and is never held back to fill up.
inline constexpr std::uint16_t kBurstPackets = 64;
inline constexpr std::uint32_t kBurstOctets = 256 * 1024;

// One packet's working state. Lives in its burst from RX to TX; the mbuf is owned by the burst.
// SA pointers are pinned: valid until the burst is done, by QSBR.
struct alignas(64) Packet {
  rte_mbuf* mbuf;
  union {                  // ESP; null: not an ESP packet of ours (bypass, control)
    OutboundSa* esp_out;   // egress, set by classify
    InboundSa* esp_in;     // ingress, set by crypt (SPI look-up)
  };
  std::uint64_t sn;        // extended sequence number, host order: taken (egress) or inferred (ingress)
  union {                  // MACsec; null: passes in clear by configuration, or the KaY's own
    TransmitSa* macsec_out;
    ReceiveSa* macsec_in;
  };
  std::uint64_t pn;        // 64-bit PN, host order: taken (egress) or recovered (ingress)
  std::uint16_t l2_length; // octets from the frame's start to the payload after (VLAN-tagged) Ethernet
  std::uint16_t l3_length; // length of the IP header at l2_length, 0 if not IP
  std::uint16_t port;      // index into the line's ports: where it came from, then where it goes
  DropReason drop;         // none while alive
  std::uint8_t flags;      // PacketFlag
};
static_assert(sizeof(Packet) == 64);

enum PacketFlag : std::uint8_t {
  kPacketControl = 1,   // injected by the control thread; skips the stages named in its mark
  kPacketIpv6 = 2,      // the (inner) packet is IPv6
  kPacketInvalid = 4,   // ICV wrong but delivered: validateFrames check
  kPacketUntagged = 8,  // came without a SecTAG and is delivered: validateFrames not strict
};

// Where a burst stands on its way. The steps of crypt are resumable: submit, then poll until the engine is done.
enum class BurstStep : std::uint8_t {
  received,      // classified, waits for its number turn
  build_first,   // first AEAD round: ESP outbound, or MACsec inbound
  wait_first,
  build_second,  // second round of [esp, macsec]
  wait_second,
  crypted,       // waits for its send turn
};

struct Burst {
  const LineSnapshot* line = nullptr;  // pinned when received
  std::uint64_t ticket = 0;
  std::uint16_t count = 0;             // packets[0..count) are alive or wait for sweep()
  BurstStep step = BurstStep::received;
  std::array<Packet, kBurstPackets> packets;
  crypto::AeadBatch batch;

  std::span<Packet> live() { return {packets.data(), count}; }

  // Frees the packets marked with a drop reason, counts them, and closes the gaps; order is kept. The only way out of
  // a burst beside TX.
  void sweep(LaneCounters& counters);
};

}  // namespace sealwire::pipelines
