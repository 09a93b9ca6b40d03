#include "pipelines/stages/ethernet.h"

#include <rte_mbuf.h>

#include <cstring>

#include "pipelines/line.h"
#include "pipelines/wire/ethernet.h"

namespace sealwire::pipelines::ethernet {

namespace {

std::uint8_t* frame_of(rte_mbuf* m) { return rte_pktmbuf_mtod(m, std::uint8_t*); }

bool is_writable_whole(const rte_mbuf* m) {
  return m->nb_segs == 1 && rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m);
}

// A single, unshared mbuf with the packet's octets, from the line's pool; the old one is freed.
// False: dropped.
bool copy_whole(Packet& p, rte_mempool* pool) {
  rte_mbuf* const old = p.mbuf;
  rte_mbuf* const whole = pool == nullptr ? nullptr : rte_pktmbuf_alloc(pool);
  const std::uint32_t length = rte_pktmbuf_pkt_len(old);
  if (whole == nullptr || length > rte_pktmbuf_tailroom(whole)) {
    if (whole != nullptr) rte_pktmbuf_free(whole);
    drop(p, DropReason::no_buffer);
    return false;
  }
  char* const to = rte_pktmbuf_append(whole, static_cast<std::uint16_t>(length));
  const void* from = rte_pktmbuf_read(old, 0, length, to);
  if (from != to) std::memcpy(to, from, length);
  whole->vlan_tci = old->vlan_tci;
  whole->ol_flags |= old->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED;
  rte_pktmbuf_free(old);
  p.mbuf = whole;
  return true;
}

// Drivers such as af_packet hand the outer VLAN tag over in metadata. It belongs to the frame, so
// it goes back before anything is sealed.
bool restore_vlan(Packet& p) {
  rte_mbuf* const m = p.mbuf;
  if (rte_pktmbuf_prepend(m, wire::kVlanTagLength) == nullptr) {
    drop(p, DropReason::no_headroom);
    return false;
  }
  std::uint8_t* const frame = frame_of(m);
  std::memmove(frame, frame + wire::kVlanTagLength, wire::kMacAddressesLength);
  wire::store_be<std::uint16_t>(frame + wire::kMacAddressesLength, wire::kEtherTypeVlan);
  wire::store_be<std::uint16_t>(frame + wire::kMacAddressesLength + 2, m->vlan_tci);
  m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN);
  return true;
}

void receive_one(Packet& p, Burst& burst, LaneCounters& counters) {
  if (!is_writable_whole(p.mbuf)) {
    counters.linearised.add(1);
    if (!copy_whole(p, burst.direction->pool)) return;
  }
  rte_mbuf* const m = p.mbuf;
  if (rte_pktmbuf_data_len(m) < sizeof(wire::EthernetHeader)) {
    return drop(p, DropReason::malformed_ethernet);
  }
  if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 && !restore_vlan(p)) return;
  const std::uint8_t* const frame = frame_of(m);
  p.l2_length = wire::layer2_length({frame, rte_pktmbuf_data_len(m)});
  if (p.l2_length == 0) return drop(p, DropReason::malformed_ethernet);
  const auto type = wire::load_be<std::uint16_t>(frame + wire::kMacAddressesLength);
  if (type == wire::kEtherTypeMacControl) drop(p, DropReason::pause_consumed);
}

}  // namespace

void receive(Burst& burst, LaneCounters& counters) {
  const auto packets = burst.all();
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (i + 2 < packets.size()) __builtin_prefetch(packets[i + 2].mbuf);
    if (i + 1 < packets.size()) {
      const rte_mbuf* next = packets[i + 1].mbuf;
      __builtin_prefetch(static_cast<const std::uint8_t*>(next->buf_addr) + next->data_off);
    }
    if (packets[i].drop == DropReason::none) receive_one(packets[i], burst, counters);
  }
}

}  // namespace sealwire::pipelines::ethernet
