#include "app/control/gateway/reassembler.h"

#include <rte_cycles.h>

#include <cstring>

#include "pipelines/wire/ip.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;

namespace {
constexpr std::uint32_t kBuckets = 32;  // so that at most some 1000 receive buffers wait here
constexpr std::uint32_t kBucketEntries = 4;
constexpr std::uint64_t kSeconds = 2;  // until an incomplete packet is given up
}  // namespace

Reassembler::Reassembler(Context& context)
    : context_(context),
      table_(rte_ip_frag_table_create(kBuckets, kBucketEntries, kBuckets * kBucketEntries,
                                      rte_get_tsc_hz() * kSeconds, SOCKET_ID_ANY)) {}

Reassembler::~Reassembler() {
  if (table_ != nullptr) rte_ip_frag_table_destroy(table_);
  rte_ip_frag_free_death_row(&dead_, 0);
}

rte_mbuf* Reassembler::collect(rte_mbuf* m) {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (table_ == nullptr || !parsed || !parsed->fragment) {
    rte_pktmbuf_free(m);
    return nullptr;
  }
  m->l2_len = 14;
  if (!parsed->v6) {
    m->l3_len = parsed->header_length & 0x1ffU;
    return rte_ipv4_frag_reassemble_packet(table_, &dead_, m, rte_rdtsc(),
                                           rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, 14));
  }
  auto* header = rte_pktmbuf_mtod_offset(m, rte_ipv6_hdr*, 14);
  rte_ipv6_fragment_ext* fragment = rte_ipv6_frag_get_ipv6_fragment_header(header);
  // Only a fragment header that comes first: nobody sends ESP behind other extensions.
  if (fragment == nullptr || parsed->total_length < 40 + sizeof(*fragment)) {
    rte_pktmbuf_free(m);
    return nullptr;
  }
  m->l3_len = sizeof(rte_ipv6_hdr) + sizeof(rte_ipv6_fragment_ext);
  return rte_ipv6_frag_reassemble_packet(table_, &dead_, m, rte_rdtsc(), header, fragment);
}

void Reassembler::take(rte_mbuf* m, const pipelines::PuntMark& mark) {
  rte_mbuf* whole = collect(m);
  rte_ip_frag_free_death_row(&dead_, 0);
  if (whole == nullptr) return;
  if (whole->pkt_len > 0xffffU) return rte_pktmbuf_free(whole);
  rte_mbuf* flat = new_frame(context_, static_cast<std::uint16_t>(whole->pkt_len));
  if (flat != nullptr) {
    auto* frame = rte_pktmbuf_mtod(flat, std::uint8_t*);
    const void* data = rte_pktmbuf_read(whole, 0, whole->pkt_len, frame);
    if (data != frame) std::memcpy(frame, data, whole->pkt_len);
    if (frame[14] >> 4 == 4)
      wire::set_ipv4_checksum(frame + 14, static_cast<std::uint16_t>((frame[14] & 15U) * 4U));
    ++context_.counters.reassembled;
    receive_again(context_, flat, pipelines::Direction::ingress, mark.in_port);
  }
  rte_pktmbuf_free(whole);
}

void Reassembler::tick() {
  if (table_ == nullptr) return;
  rte_ip_frag_table_del_expired_entries(table_, &dead_, rte_rdtsc());
  rte_ip_frag_free_death_row(&dead_, 0);
}

}  // namespace sealwire::control::gateway
