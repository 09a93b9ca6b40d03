#include "pipelines/stages/macsec_ingress.h"

#include <rte_mbuf.h>

#include <cstring>

#include "pipelines/line.h"
#include "pipelines/mark.h"
#include "pipelines/stages/macsec_op.h"
#include "pipelines/tables/secy.h"
#include "pipelines/wire/macsec.h"

namespace sealwire::pipelines::macsec_ingress {

namespace {

using wire::kMacAddressesLength;
using wire::kVlanTagLength;

std::uint8_t* frame_of(rte_mbuf* m) { return rte_pktmbuf_mtod(m, std::uint8_t*); }

void punt_eapol(Packet& p) {
  PuntMark mark;
  mark.reason = PuntReason::eapol;
  mark.from_outside = true;
  mark.in_port = p.in_port;
  drop(p, set_mark(p.mbuf, mark) ? DropReason::punted : DropReason::no_headroom);
}

// Steps 4 and 5: the SA of a frame. Null if there is none in use; *known says that its SC exists.
ReceiveSa* find_sa(const Secy& secy, const wire::SecTagView& tag, std::uint64_t sci, ReceiveSc* sc,
                   bool* known) {
  if (sc == nullptr) sc = secy.find_receive_sc(sci);
  *known = sc != nullptr;
  if (sc == nullptr) return nullptr;
  ReceiveSa* sa = sc->sas[tag.an()].load(std::memory_order_acquire);
  return sa != nullptr && sa->in_use.load(std::memory_order_acquire) ? sa : nullptr;
}

// VLAN tags in clear are set aside and the addresses moved up to the SecTAG: [gap][DA
// SA][SecTAG][data][ICV].
void close_up(Packet& p, std::uint8_t* frame) {
  const std::size_t tags = std::size_t{p.clear_tags} * kVlanTagLength;
  std::memcpy(p.clear_tag, frame + kMacAddressesLength, tags);
  std::memmove(frame + tags, frame, kMacAddressesLength);
}

// Where the last frame of this burst with an SCI went that was opened: the next one with the same
// TCI, AN and SCI goes there too. Nothing while `secy` is null.
struct KnownWay {
  const Secy* secy = nullptr;
  std::uint64_t start = 0;  // EtherType and TCI/AN
  std::uint64_t sci = 0;
  ReceiveSa* sa = nullptr;
  bool strict = false;
};

// The operation of a frame whose addresses are at `addresses`.
[[gnu::always_inline]] inline void open(Burst& burst, Packet& p, ReceiveSa& sa, crypto::Pn pn,
                                        std::uint8_t* addresses, std::uint32_t tag_length) {
  p.op = static_cast<std::uint8_t>(burst.batch.count);
  macsec::fill_op(burst.batch.add(), sa, pn, p.secure_length, addresses, tag_length,
                  (p.tci & wire::kTciE) != 0 ? sa.offset : macsec::kAllClear);
}

// True: `p` was such a frame. What is not valid, or late, is left to build_one.
[[gnu::always_inline]] inline bool follow(Burst& burst, Packet& p, const Secy& secy,
                                          const KnownWay& way) {
  if (&secy != way.secy) return false;
  const std::uint32_t length = rte_pktmbuf_data_len(p.mbuf);
  if (length < wire::kMacAddressesLength + wire::kMacsecOverhead) return false;
  std::uint8_t* const frame = frame_of(p.mbuf);
  const auto head = wire::load_be<std::uint64_t>(frame + wire::kMacAddressesLength);
  if (head >> 40 != way.start) return false;
  if (wire::load_be<std::uint64_t>(frame + wire::kMacAddressesLength + 8) != way.sci) return false;
  const std::uint16_t secure =
      wire::secure_length(length - wire::kMacAddressesLength - wire::kMacsecOverhead,
                          static_cast<std::uint8_t>(head >> 32));
  if (secure == 0) return false;
  const auto low = static_cast<std::uint32_t>(head);
  ReceiveSa& sa = *way.sa;
  const crypto::Pn pn = sa.window.recover(low);
  if ((low == 0 && !sa.xpn) || sa.window.certainly_late(pn)) return false;
  p.tci = static_cast<std::uint8_t>(way.start);
  p.secure_length = secure;
  p.clear_tags = 0;
  p.macsec_in = &sa;
  p.pn = pn.value();
  p.flags |= static_cast<std::uint16_t>(kPacketOpened | (way.strict ? kPacketStrict : 0));
  open(burst, p, sa, pn, frame, wire::kSecTagSciLength);
  return true;
}

// Figure 10-4 up to the ICV check. The step numbers are those of the order of the figure.
void build_one(Burst& burst, Packet& p, const Secy& secy, KnownWay& way) {
  const ValidateFrames mode = secy.validate_frames();
  std::uint8_t* const frame = frame_of(p.mbuf);
  const std::span<const std::uint8_t> all{frame, rte_pktmbuf_data_len(p.mbuf)};
  const auto layer2 = wire::parse_layer2(all, secy.vlan_in_clear());
  if (!layer2) return drop(p, DropReason::malformed_ethernet);
  if (layer2->ether_type == wire::kEtherTypeEapol || layer2->ether_type == secy.eapol_ethertype()) {
    return punt_eapol(p);
  }
  if (mode == ValidateFrames::null) return;            // 1
  if (layer2->ether_type != wire::kEtherTypeMacsec) {  // 2
    if (mode == ValidateFrames::strict) return drop(p, DropReason::in_pkts_no_tag);
    p.flags |= kPacketUntagged;
    return;
  }
  const std::size_t tag_at = layer2->length - 2U;
  const auto tag = wire::parse_sectag(all.subspan(tag_at));  // 3
  if (!tag) return drop(p, DropReason::in_pkts_bad_tag);
  p.tci = tag->tci_an;
  p.secure_length = tag->secure_length;
  p.clear_tags = layer2->vlan_tags;
  const bool confidential = tag->has(wire::kTciC);
  if (tag->has(wire::kTciE) && !confidential) return drop(p, DropReason::in_pkts_kay);

  ReceiveSc* sc = nullptr;
  std::uint64_t sci = tag->sci;
  if (!tag->has(wire::kTciSc)) {
    if (tag->has(wire::kTciScb)) {
      sci = wire::sci_of(frame + 6, wire::kPortScb);
    } else if (tag->has(wire::kTciEs)) {
      sci = wire::sci_of(frame + 6, wire::kPortEs);
    } else {
      sc = secy.only_receive_sc();
      sci = sc != nullptr ? sc->sci.value() : crypto::Sci::kReserved;
    }
  }
  if (sci == secy.sci().value()) return drop(p, DropReason::in_own_sci);
  if (mode == ValidateFrames::strict) p.flags |= kPacketStrict;
  bool known = false;
  ReceiveSa* const sa = find_sa(secy, *tag, sci, sc, &known);
  if (sa == nullptr) {  // 4, 5
    p.pn = sci;         // for the settle, which counts by SC
    if (known) p.flags |= kPacketScKnown;
    if (mode == ValidateFrames::strict || confidential) {
      return drop(p, DropReason::in_pkts_no_sa_error);
    }
    p.flags |= kPacketNoSa;
  } else {
    if (!sa->xpn && tag->pn == 0) return drop(p, DropReason::in_pkts_bad_tag);
    p.macsec_in = sa;
    const crypto::Pn pn = sa->window.recover(tag->pn);  // 6
    p.pn = pn.value();
    if (sa->window.certainly_late(pn)) return drop(p, DropReason::in_pkts_late);
    p.flags |= kPacketOpened;
  }
  if (p.clear_tags != 0) close_up(p, frame);
  if (sa == nullptr) return;
  if (mode == ValidateFrames::disabled) {
    p.flags |= kPacketUnchecked | kPacketInvalid;
    return;
  }
  open(burst, p, *sa, crypto::Pn(p.pn), frame + std::size_t{p.clear_tags} * kVlanTagLength,
       tag->length);
  if (tag->has(wire::kTciSc)) {
    way = {&secy, std::uint64_t{wire::kEtherTypeMacsec} << 8 | tag->tci_an, sci, sa,
           mode == ValidateFrames::strict};
  }
}

// Takes SecTAG, ICV and what follows it away, and puts VLAN tags in clear back behind the
// addresses.
void strip(Packet& p) {
  rte_mbuf* const m = p.mbuf;
  const std::uint16_t tag_length = wire::sectag_length(p.tci);
  const std::size_t tags = std::size_t{p.clear_tags} * kVlanTagLength;
  const std::size_t length = kMacAddressesLength + tags + p.secure_length;
  const wire::AddressWords addresses(frame_of(m) + tags);
  m->data_off = static_cast<std::uint16_t>(m->data_off + tag_length);
  m->data_len = static_cast<std::uint16_t>(length);
  m->pkt_len = m->data_len;
  std::uint8_t* const start = frame_of(m);
  addresses.store(start);
  if (tags != 0) std::memcpy(start + kMacAddressesLength, p.clear_tag, tags);
  p.l2_length = wire::layer2_length({start, length});
  if (p.l2_length == 0) drop(p, DropReason::malformed_ethernet);
}

// Counters of one SA's run of packets, added once.
struct Tally {
  ReceiveSa* sa = nullptr;
  std::uint64_t ok = 0, unchecked = 0, delayed = 0, late = 0, invalid = 0, not_valid = 0,
                duplicate = 0;

  void begin(ReceiveSa* next) {
    flush();
    sa = next;
    if (const std::uint64_t wanted = sa->lowest_wanted.load(std::memory_order_relaxed);
        wanted > sa->window.lowest().value()) {
      sa->window.raise_lowest(crypto::Pn(wanted));
    }
  }
  void flush() {
    if (sa == nullptr) return;
    ReceiveScCounters& sc = sa->sc->counters;
    add(ok, sa->in_pkts_ok, sc.in_pkts_ok);
    add(unchecked, sa->in_pkts_unchecked, sc.in_pkts_unchecked);
    add(delayed, sa->in_pkts_delayed, sc.in_pkts_delayed);
    add(late, sa->in_pkts_late, sc.in_pkts_late);
    add(invalid, sa->in_pkts_invalid, sc.in_pkts_invalid);
    add(not_valid, sa->in_pkts_not_valid, sc.in_pkts_not_valid);
    add(duplicate, sa->in_pkts_duplicate, sc.in_pkts_duplicate);
  }
  static void add(std::uint64_t& n, Counter& a, Counter& b) {
    if (n == 0) return;
    a.add(n);
    b.add(n);
    n = 0;
  }
};

// Steps 9 to 12 for a packet that went through the ICV check (or skipped it by validateFrames
// disabled).
void settle_opened(Packet& p, Tally& tally, SecyReceiveCounters& c) {
  if (p.drop == DropReason::crypto_error) return;
  crypto::PnWindow& window = p.macsec_in->window;
  const bool valid = (p.flags & kPacketInvalid) == 0;
  if ((p.flags & kPacketUnchecked) == 0) {  // 8, counted even when invalid
    Counter& octets = (p.tci & wire::kTciE) != 0 ? c.in_octets_decrypted : c.in_octets_validated;
    octets.add(p.secure_length);
  }
  // The high half was guessed before; if the window has moved so far that it would be guessed
  // otherwise now, the frame is late.
  const bool moved = window.recover(static_cast<std::uint32_t>(p.pn)).value() != p.pn;
  const crypto::PnVerdict verdict =
      moved ? crypto::PnVerdict::late : window.accept(crypto::Pn(p.pn), valid);
  if (verdict == crypto::PnVerdict::late) {  // 9
    p.drop = DropReason::in_pkts_late;
    ++tally.late;
  } else if (verdict == crypto::PnVerdict::duplicate) {
    p.drop = DropReason::in_pkts_duplicate;
    ++tally.duplicate;
  } else if (p.drop == DropReason::in_pkts_not_valid) {  // 10
    ++tally.not_valid;
  } else if (!valid && (p.flags & kPacketUnchecked) == 0) {  // 11
    ++tally.invalid;
  } else if (verdict == crypto::PnVerdict::delayed) {
    ++tally.delayed;
  } else if (!valid) {
    ++tally.unchecked;
  } else {
    ++tally.ok;
  }
}

void settle_no_sa(const Packet& p, const Secy& secy, SecyReceiveCounters& c) {
  const bool error = p.drop == DropReason::in_pkts_no_sa_error;
  (error ? c.in_pkts_no_sa_error : c.in_pkts_no_sa).add(1);
  if ((p.flags & kPacketScKnown) == 0) return;
  if (ReceiveSc* sc = secy.find_receive_sc(p.pn)) {
    (error ? sc->counters.in_pkts_no_sa_error : sc->counters.in_pkts_no_sa).add(1);
  }
}

}  // namespace

void build(Burst& burst) {
  burst.batch.reset(crypto::Direction::open);
  KnownWay way;
  for (Packet& p : burst.all()) {
    p.op = kNoOp;
    if (p.drop != DropReason::none || (p.flags & kPacketSkipMacsec) != 0) continue;
    const Secy& secy = *burst.line->outside[p.in_port].secy;
    if (!follow(burst, p, secy, way)) build_one(burst, p, secy, way);
  }
}

void finish(Burst& burst) {
  for (Packet& p : burst.all()) {
    if (p.drop != DropReason::none || (p.flags & (kPacketOpened | kPacketNoSa)) == 0) continue;
    if (p.op != kNoOp) {
      const crypto::OpStatus status = burst.batch.ops[p.op].status;
      if (status == crypto::OpStatus::bad_tag) {
        p.flags |= kPacketInvalid;
      } else if (status != crypto::OpStatus::ok) {
        drop(p, DropReason::crypto_error);
        continue;
      }
    }
    if ((p.flags & kPacketInvalid) != 0 &&
        ((p.flags & kPacketStrict) != 0 || (p.tci & wire::kTciC) != 0)) {
      drop(p, DropReason::in_pkts_not_valid);
      continue;
    }
    strip(p);
  }
}

void settle(Burst& burst) {
  Tally tally;
  for (Packet& p : burst.all()) {
    if ((p.flags & kPacketSkipMacsec) != 0) continue;
    Secy& secy = *burst.line->outside[p.in_port].secy;
    SecyReceiveCounters& c = secy.writable_receive_counters();
    if ((p.flags & kPacketOpened) != 0 || p.drop == DropReason::in_pkts_late) {
      if (p.macsec_in != tally.sa) tally.begin(p.macsec_in);
      if ((p.flags & kPacketOpened) != 0) {
        settle_opened(p, tally, c);
      } else {
        ++tally.late;  // 6
      }
      continue;
    }
    if ((p.flags & kPacketNoSa) != 0) {
      settle_no_sa(p, secy, c);
      continue;
    }
    if ((p.flags & kPacketUntagged) != 0) {
      c.in_pkts_untagged.add(1);
      continue;
    }
    switch (p.drop) {
      case DropReason::in_pkts_no_tag:
        c.in_pkts_no_tag.add(1);
        break;
      case DropReason::in_pkts_bad_tag:
        c.in_pkts_bad_tag.add(1);
        break;
      case DropReason::in_pkts_no_sa_error:
        settle_no_sa(p, secy, c);
        break;
      case DropReason::in_own_sci:
        c.in_own_sci.add(1);
        break;
      case DropReason::in_pkts_kay:
        c.in_pkts_kay.add(1);
        break;
      default:
        break;
    }
  }
  tally.flush();
}

}  // namespace sealwire::pipelines::macsec_ingress
