#include "pipelines/stages/fragment.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace sealwire::pipelines {
namespace {

std::uint16_t payload_step(const wire::IpPacket& packet, std::uint16_t mtu) {
  if (mtu < packet.header_length + 8U) return 0;
  return static_cast<std::uint16_t>((mtu - packet.header_length) & ~7U);
}

// Options that are not copied on fragmentation give way to no-operations, so that the header keeps
// its length.
void blank_first_only_options(std::uint8_t* ip, std::uint16_t header_length) {
  std::uint16_t at = sizeof(wire::Ipv4Header);
  while (at < header_length) {
    std::uint8_t type = ip[at];
    if (type == 0) return;
    std::uint16_t length = 1;
    if (type != 1) {
      if (at + 1 >= header_length) return;
      length = ip[at + 1];
      if (length < 2 || at + length > header_length) return;
    }
    if ((type & 0x80U) == 0) std::memset(ip + at, 1, length);
    at = static_cast<std::uint16_t>(at + length);
  }
}

void finish_header(std::uint8_t* ip, const wire::IpPacket& packet, std::uint16_t payload,
                   std::uint16_t fragment_field) {
  auto* header = wire::view_at<wire::Ipv4Header>(ip);
  header->total_length = wire::Be16(static_cast<std::uint16_t>(packet.header_length + payload));
  header->fragment = wire::Be16(fragment_field);
  wire::set_ipv4_checksum(ip, packet.header_length);
}

}  // namespace

std::uint16_t fragment_count(wire::IpPacket packet, std::uint16_t mtu) {
  std::uint16_t step = payload_step(packet, mtu);
  if (step == 0) return 0;
  std::uint32_t payload = packet.total_length - packet.header_length;
  return static_cast<std::uint16_t>((payload + step - 1U) / step);
}

bool fragment_ipv4(rte_mbuf* m, std::uint16_t l2_length, const wire::IpPacket& packet,
                   std::uint16_t mtu, rte_mempool* pool, std::span<rte_mbuf*> rest) {
  const std::uint16_t step = payload_step(packet, mtu);
  const std::uint16_t header = packet.header_length;
  const std::uint32_t front = std::uint32_t{l2_length} + header;
  if (rte_pktmbuf_alloc_bulk(pool, rest.data(), static_cast<unsigned>(rest.size())) != 0)
    return false;
  if (!rest.empty() && rest[0]->buf_len < kOwnHeadroom + front + step + 64U) {
    rte_pktmbuf_free_bulk(rest.data(), static_cast<unsigned>(rest.size()));
    return false;
  }
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  const std::uint16_t field = wire::view_at<wire::Ipv4Header>(frame + l2_length)->fragment.value();
  const auto first_offset = static_cast<std::uint16_t>(field & wire::kIpv4OffsetMask);
  const auto flags = static_cast<std::uint16_t>(field & ~wire::kIpv4OffsetMask);
  const std::uint32_t payload = packet.total_length - header;
  std::uint32_t done = step;
  for (rte_mbuf* piece : rest) {
    const std::uint32_t length = std::min<std::uint32_t>(step, payload - done);
    piece->data_off = kOwnHeadroom;
    piece->data_len = static_cast<std::uint16_t>(front + length);
    piece->pkt_len = front + length;
    piece->port = m->port;
    auto* copy = rte_pktmbuf_mtod(piece, std::uint8_t*);
    std::memcpy(copy, frame, front);
    std::memcpy(copy + front, frame + front + done, length);
    blank_first_only_options(copy + l2_length, header);
    std::uint16_t more =
        done + length < payload ? wire::kIpv4MoreFragments : flags & wire::kIpv4MoreFragments;
    finish_header(copy + l2_length, packet, static_cast<std::uint16_t>(length),
                  static_cast<std::uint16_t>((flags & ~wire::kIpv4MoreFragments) | more |
                                             (first_offset + done / 8)));
    done += length;
  }
  finish_header(frame + l2_length, packet, step,
                static_cast<std::uint16_t>(flags | wire::kIpv4MoreFragments | first_offset));
  m->data_len = static_cast<std::uint16_t>(front + step);
  m->pkt_len = front + step;
  return true;
}

}  // namespace sealwire::pipelines
