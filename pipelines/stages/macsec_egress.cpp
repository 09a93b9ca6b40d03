#include "pipelines/stages/macsec_egress.h"

#include <rte_mbuf.h>

#include <cstring>

#include "pipelines/line.h"
#include "pipelines/stages/macsec_op.h"
#include "pipelines/tables/secy.h"
#include "pipelines/wire/macsec.h"

namespace sealwire::pipelines::macsec_egress {

namespace {

using wire::kMacAddressesLength;
using wire::kMacsecIcvLength;
using wire::kVlanTagLength;

bool to_seal(const Packet& p) {
  return p.drop == DropReason::none && (p.flags & kPacketSkipMacsec) == 0;
}

std::uint8_t* frame_of(rte_mbuf* m) { return rte_pktmbuf_mtod(m, std::uint8_t*); }

// Octets of user data that are only authenticated.
std::uint32_t clear_octets(const TransmitSa& sa) {
  switch (sa.variant) {
    case MacsecVariant::confidential:
      return 0;
    case MacsecVariant::confidential_offset:
      return sa.offset;
    case MacsecVariant::integrity:
      break;
  }
  return macsec::kAllClear;
}

// What frames of one port and one SA share: asked once a run.
struct Run {
  const TransmitSa* sa = nullptr;
  std::uint32_t largest = 0;     // octets after the EtherType of the sealed frame
  std::uint32_t clear = 0;       // octets of user data that are only authenticated
  std::uint32_t tag_length = 0;  // SecTAG
  std::uint8_t tci = 0;
  std::uint8_t vlan_in_clear = 0;

  Run() = default;
  Run(const TransmitSa& transmit, const LinePort& port)
      : sa(&transmit),
        largest(port.mtu),
        clear(clear_octets(transmit)),
        tci(static_cast<std::uint8_t>(port.secy->transmit_tci() | transmit.tci_ec | transmit.an)),
        vlan_in_clear(port.secy->vlan_in_clear()) {
    tag_length = wire::sectag_length(tci);
  }
};

// The frame grows by the SecTAG in front and the ICV behind. VLAN tags that stay in clear are set
// aside so that the addresses stand right before the SecTAG, as the ICV's input wants them:
// [gap][DA SA][SecTAG][data][ICV].
[[gnu::always_inline]] inline void build_one(Burst& burst, Packet& p, const Run& run) {
  rte_mbuf* const m = p.mbuf;
  std::uint8_t* const from = frame_of(m);
  const std::uint32_t length = m->data_len;
  std::uint32_t tags = 0;  // octets of VLAN tags in clear
  p.clear_tags = 0;
  p.tci = run.tci;
  if (run.vlan_in_clear != 0) {
    const auto layer2 = wire::parse_layer2({from, length}, run.vlan_in_clear);
    if (!layer2) return drop(p, DropReason::malformed_ethernet);
    p.clear_tags = layer2->vlan_tags;
    tags = std::uint32_t{p.clear_tags} * kVlanTagLength;
    std::memcpy(p.clear_tag, from + kMacAddressesLength, tags);
  }
  const std::uint32_t tag_length = run.tag_length;
  const std::uint32_t whole = length + tag_length + kMacsecIcvLength;
  const std::uint32_t around = kMacAddressesLength + tags;
  // The MTU counts from after the EtherType; VLAN tags in clear are part of the header.
  if (whole > around + 2 + run.largest) return drop(p, DropReason::out_pkts_too_long);
  if (length <= around) return drop(p, DropReason::malformed_ethernet);
  if (rte_pktmbuf_headroom(m) < tag_length || rte_pktmbuf_tailroom(m) < kMacsecIcvLength)
    return drop(p, DropReason::no_headroom);
  const std::uint32_t secure_length = length - around;
  const crypto::Pn pn(p.pn);
  p.secure_length = static_cast<std::uint16_t>(secure_length);
  m->data_off = static_cast<std::uint16_t>(m->data_off - tag_length);
  m->data_len = static_cast<std::uint16_t>(whole);
  m->pkt_len = whole;
  std::uint8_t* const addresses = from - tag_length + tags;
  wire::AddressWords(from).store(addresses);
  wire::write_sectag(addresses + kMacAddressesLength, run.tci, p.secure_length, pn.low(),
                     run.sa->sci.value());
  p.op = static_cast<std::uint8_t>(burst.batch.count);
  macsec::fill_op(burst.batch.add(), *run.sa, pn, secure_length, addresses, tag_length, run.clear);
}

// Counters of one SA's run of packets, added once.
struct Tally {
  TransmitSa* sa = nullptr;
  SecyTransmitCounters* counters = nullptr;
  std::uint64_t packets = 0, octets = 0;

  void add(const Packet& p, Secy& secy) {
    if (p.macsec_out != sa) {
      flush();
      sa = p.macsec_out;
      counters = &secy.writable_transmit_counters();
    }
    ++packets;
    octets += p.secure_length;
  }
  void flush() {
    if (packets == 0) return;
    const bool encrypted = sa->tci_ec != 0;
    sa->out_pkts.add(packets);
    (encrypted ? counters->out_pkts_encrypted : counters->out_pkts_protected).add(packets);
    (encrypted ? counters->out_octets_encrypted : counters->out_octets_protected).add(octets);
    packets = octets = 0;
  }
};

}  // namespace

void order(Burst& burst) {
  const auto packets = burst.all();
  for (std::size_t first = 0; first < packets.size();) {
    // A run: packets that leave by the same port, so with the same SA.
    const std::uint8_t port = packets[first].port;
    std::size_t end = first;
    std::uint32_t wanted = 0;
    for (; end < packets.size() && packets[end].port == port; ++end) {
      wanted += to_seal(packets[end]) ? 1 : 0;
    }
    const auto run = packets.subspan(first, end - first);
    first = end;
    if (wanted == 0) continue;
    const Secy& secy = *burst.line->outside[port].secy;
    const bool protect = secy.protect_frames();
    TransmitSa* const sa = protect ? secy.encoding_sa() : nullptr;
    std::uint64_t pn = 0;
    std::uint32_t left = sa == nullptr ? 0 : sa->take(wanted, &pn);
    for (Packet& p : run) {
      if (!to_seal(p)) continue;
      if (!protect) {
        p.flags |= kPacketUntagged;
      } else if (sa == nullptr) {
        drop(p, DropReason::out_no_sa);
      } else if (left == 0) {
        drop(p, DropReason::out_pn_exhausted);
      } else {
        p.macsec_out = sa;
        p.pn = pn++;
        --left;
      }
    }
  }
}

void build(Burst& burst) {
  burst.batch.reset(crypto::Direction::seal);
  Run run;
  std::uint8_t port = 0;
  for (Packet& p : burst.all()) {
    p.op = kNoOp;
    if (!to_seal(p) || p.macsec_out == nullptr) continue;
    if (p.macsec_out != run.sa || p.port != port) {
      port = p.port;
      run = Run(*p.macsec_out, burst.line->outside[port]);
    }
    build_one(burst, p, run);
  }
}

void finish(Burst& burst) {
  for (Packet& p : burst.all()) {
    if (p.op == kNoOp) {
      // Not sealed although nothing says that it may leave so: never in clear.
      if (to_seal(p) && (p.flags & kPacketUntagged) == 0) drop(p, DropReason::unsealed);
      continue;
    }
    if (burst.batch.ops[p.op].status != crypto::OpStatus::ok) {
      drop(p, DropReason::crypto_error);
      continue;
    }
    if (p.clear_tags == 0) continue;
    std::uint8_t* const start = frame_of(p.mbuf);
    const std::size_t tags = std::size_t{p.clear_tags} * kVlanTagLength;
    std::memmove(start, start + tags, kMacAddressesLength);
    std::memcpy(start + kMacAddressesLength, p.clear_tag, tags);
  }
}

void settle(Burst& burst) {
  Tally tally;
  for (const Packet& p : burst.all()) {
    if ((p.flags & kPacketSkipMacsec) != 0) continue;
    Secy& secy = *burst.line->outside[p.port].secy;
    switch (p.drop) {
      case DropReason::none:
        if ((p.flags & kPacketUntagged) != 0) {
          secy.writable_transmit_counters().out_pkts_untagged.add(1);
        } else {
          tally.add(p, secy);
        }
        break;
      case DropReason::out_no_sa:
        secy.writable_transmit_counters().out_no_sa.add(1);
        break;
      case DropReason::out_pn_exhausted:
        secy.writable_transmit_counters().out_pn_exhausted.add(1);
        break;
      case DropReason::out_pkts_too_long:
        secy.writable_transmit_counters().out_pkts_too_long.add(1);
        break;
      default:
        break;
    }
  }
  tally.flush();
}

}  // namespace sealwire::pipelines::macsec_egress
