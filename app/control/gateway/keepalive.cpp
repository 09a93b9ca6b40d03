#include "app/control/gateway/keepalive.h"

#include <cstring>

#include "pipelines/stages/forward.h"
#include "pipelines/wire/udp.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;

namespace {
constexpr std::uint64_t kLookEvery = 1000;  // milliseconds
}

void Keepalive::tick(std::uint64_t now) {
  if (now < next_ || context_.settings.sad == nullptr) return;
  next_ = now + kLookEvery;
  ++round_;
  context_.settings.sad->each_outbound(
      [&](pipelines::OutboundSlot& slot, pipelines::OutboundSa& sa) {
        const auto& udp = sa.parameters.udp;
        if (!udp || udp->keepalive == 0) return;
        auto [found, fresh] = seen_.try_emplace(&slot);
        Seen& seen = found->second;
        seen.round = round_;
        const std::uint64_t packets = sa.runtime.packets.read();
        if (fresh || packets != seen.packets) {
          seen.packets = packets;
          seen.since = now;
        } else if (now >= seen.since + udp->keepalive) {
          seen.since = now;
          send_one(sa.parameters);
        }
      });
  std::erase_if(seen_, [&](const auto& entry) { return entry.second.round != round_; });
}

void Keepalive::send_one(const pipelines::OutboundSaParameters& sa) {
  const auto hop = pipelines::forward::next_hop(*context_.line->gateway, pipelines::Side::outside,
                                                sa.destination);
  if (!hop.found || hop.link == 0) return;
  const bool v6 = sa.source.v6;
  const std::uint16_t header = v6 ? 40 : 20;
  constexpr std::uint16_t kLength = sizeof(wire::UdpHeader) + 1;
  rte_mbuf* m = new_frame(context_, static_cast<std::uint16_t>(14 + header + kLength));
  if (m == nullptr) return;
  auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  pipelines::forward::write_layer2(frame, hop.link, context_.line->outside[hop.port].mac, v6);
  std::uint8_t* ip = frame + 14;
  write_ip(ip, sa.source, sa.destination, wire::kProtocolUdp, kLength, sa.ttl);
  auto* udp = wire::view_at<wire::UdpHeader>(ip + header);
  udp->source_port = wire::Be16(sa.udp->source_port);
  udp->destination_port = wire::Be16(sa.udp->destination_port);
  udp->length = wire::Be16(kLength);
  ip[header + 8] = 0xff;
  if (v6)
    wire::set_ipv6_upper_checksum(ip, ip + header, kLength, wire::kProtocolUdp, udp->checksum);
  ++context_.counters.keepalives;
  send(context_, m, pipelines::Side::outside, hop.port);
}

}  // namespace sealwire::control::gateway
