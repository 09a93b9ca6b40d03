#include "app/control/gateway/outlet.h"

#include <cstring>

#include "pipelines/stages/fragment.h"
#include "pipelines/wire/be.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;
using pipelines::IpAddress;
using pipelines::Side;

rte_mbuf* new_frame(Context& context, std::uint16_t length) {
  rte_mbuf* m = rte_pktmbuf_alloc(context.settings.pool);
  if (m != nullptr && m->buf_len >= pipelines::kOwnHeadroom + length) {
    m->data_off = pipelines::kOwnHeadroom;
    m->data_len = length;
    m->pkt_len = length;
    std::memset(rte_pktmbuf_mtod(m, void*), 0, length);
    return m;
  }
  rte_pktmbuf_free(m);
  ++context.counters.no_buffer;
  return nullptr;
}

namespace {
void inject(Context& context, rte_mbuf* m, rte_ring* ring, const pipelines::InjectMark& mark) {
  if (!pipelines::set_mark(m, mark) || ring == nullptr || rte_ring_enqueue(ring, m) != 0) {
    ++context.counters.inject_full;
    rte_pktmbuf_free(m);
  }
}
}  // namespace

void send(Context& context, rte_mbuf* m, Side side, std::uint16_t port) {
  pipelines::InjectMark mark;
  mark.stages = pipelines::InjectStages::seal;
  mark.port = port;
  bool inside = side == Side::inside;
  inject(context, m, inside ? context.settings.ingress_inject : context.settings.egress_inject,
         mark);
}

void receive_again(Context& context, rte_mbuf* m, pipelines::Direction direction,
                   std::uint16_t port) {
  bool egress = direction == pipelines::Direction::egress;
  const auto& ports = egress ? context.line->inside : context.line->outside;
  if (port >= ports.size()) return rte_pktmbuf_free(m);
  std::memcpy(rte_pktmbuf_mtod(m, void*), ports[port].mac, 6);
  pipelines::InjectMark mark;
  mark.stages = pipelines::InjectStages::full;
  mark.port = port;
  inject(context, m, egress ? context.settings.egress_inject : context.settings.ingress_inject,
         mark);
}

std::optional<IpAddress> own_address(const Context& context, Side side, std::uint16_t port,
                                     const IpAddress& peer) {
  std::optional<IpAddress> first;
  const auto& ports = context.gateway_ports(side);
  if (port >= ports.size()) return first;
  for (const pipelines::Prefix& own : ports[port].addresses) {
    if (own.contains(peer)) return own.address;
    if (own.address.v6 == peer.v6 && !first) first = own.address;
  }
  return first;
}

bool is_own_on(const Context& context, Side side, std::uint16_t port, const IpAddress& address) {
  const auto& ports = context.gateway_ports(side);
  if (port >= ports.size()) return false;
  for (const pipelines::Prefix& own : ports[port].addresses)
    if (own.address == address) return true;
  return false;
}

bool on_link(const Context& context, Side side, std::uint16_t port, const IpAddress& address) {
  const auto& ports = context.gateway_ports(side);
  if (port >= ports.size()) return false;
  for (const pipelines::Prefix& own : ports[port].addresses)
    if (own.contains(address)) return true;
  return false;
}

void write_ethernet(std::uint8_t* frame, const Mac& destination, const std::uint8_t (&source)[6],
                    std::uint16_t ether_type) {
  std::memcpy(frame, destination.data(), 6);
  std::memcpy(frame + 6, source, 6);
  wire::store_be(frame + 12, ether_type);
}

void write_ip(std::uint8_t* at, const IpAddress& source, const IpAddress& destination,
              std::uint8_t protocol, std::uint16_t payload, std::uint8_t ttl) {
  if (source.v6) {
    wire::store_be(at, std::uint32_t{6} << 28);
    wire::store_be(at + 4, payload);
    at[6] = protocol;
    at[7] = ttl;
    std::memcpy(at + 8, source.octets.data(), 16);
    std::memcpy(at + 24, destination.octets.data(), 16);
    return;
  }
  std::memset(at, 0, 20);
  at[0] = 0x45;
  wire::store_be(at + 2, static_cast<std::uint16_t>(payload + 20));
  at[6] = 0x40;
  at[8] = ttl;
  at[9] = protocol;
  std::memcpy(at + 12, source.octets.data(), 4);
  std::memcpy(at + 16, destination.octets.data(), 4);
  wire::set_ipv4_checksum(at, 20);
}

IpAddress source_address(const std::uint8_t* ip, bool v6) {
  IpAddress address{v6, {}};
  std::memcpy(address.octets.data(), ip + (v6 ? 8 : 12), v6 ? 16 : 4);
  return address;
}

IpAddress destination_address(const std::uint8_t* ip, bool v6) {
  IpAddress address{v6, {}};
  std::memcpy(address.octets.data(), ip + (v6 ? 24 : 16), v6 ? 16 : 4);
  return address;
}

}  // namespace sealwire::control::gateway
