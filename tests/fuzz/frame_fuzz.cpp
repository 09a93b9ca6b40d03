// libFuzzer target: frames. The input is a script of a few frames, each arbitrary or sealed by a
// peer and then mutated, in any segments, that arrive at the ports of [macsec], [esp] and
// [esp, macsec] lines. Besides crashes and reads beyond a frame's end, a finding is: a packet that
// is neither sent nor counted as dropped, a buffer that does not come back, cleartext on the wire,
// a packet delivered that no authenticated end sent, or delivered twice.
#include <fuzzer/FuzzedDataProvider.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "pipelines/wire/ethernet.h"
#include "tests/unit/esp/gateways.h"

using namespace sealwire::pipelines;
using namespace sealwire::pipelines::test;

namespace {

constexpr std::size_t kLongest = 1400;  // of a frame inside: nothing is fragmented
constexpr int kFrames = 16;             // of one input
constexpr std::uint32_t kSmugglersSpi = 0x1fff;

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// A site that seals and one that opens. `insider` is a third end with keys of its own: what it
// builds is opened by MACsec (AN 1) or ESP, so that mutations get beyond authentication.
struct Line {
  Line(std::unique_ptr<Wire> sealing, std::unique_ptr<Wire> opening, Sak common)
      : a(std::move(sealing)), b(std::move(opening)), sak(common) {
    if (!a->snapshot.macsec) return;
    add_transmit(*a->secy, sak);
    add_receive(*b->secy, kSciA, sak);
    sak.an = 1;
    sak.fill = 3;
    add_receive(*b->secy, kSciA, sak);
  }
  std::unique_ptr<Wire> a, b;
  Sak sak;
  std::uint64_t insiders_pn = 1;
  std::unique_ptr<GatewayLine> insider{};
  Loop sealer{both({a.get()})}, opener{both({b.get()})};
  std::unique_ptr<Loop> insiders_loop{};
};

LineOptions options(std::uint64_t sci, bool macsec = true) {
  return Gateways::options(macsec, Spread::alone, sci);
}

std::unique_ptr<Line> make_wire(CipherSuite suite, std::uint8_t offset) {
  return std::make_unique<Line>(std::make_unique<Wire>(options(kSciA)),
                                std::make_unique<Wire>(options(kSciB)),
                                Sak{.suite = suite, .offset = offset});
}

std::unique_ptr<Line> make_gateway_line(bool macsec) {
  auto a = std::make_unique<GatewayLine>(options(kSciA, macsec), 1U, 2U);
  auto b = std::make_unique<GatewayLine>(options(kSciB, macsec), 2U, 1U);
  a->send_by(0x1001);
  b->receive_by(0x1001);
  b->receive_by(kSmugglersSpi);
  auto line = std::make_unique<Line>(std::move(a), std::move(b), Sak{});
  line->insider = std::make_unique<GatewayLine>(options(kSciA, false), 1U, 2U);
  line->insider->send_by(kSmugglersSpi);
  line->insiders_loop = std::make_unique<Loop>(both({line->insider.get()}));
  return line;
}

std::vector<std::unique_ptr<Line>> make_lines() {
  std::vector<std::unique_ptr<Line>> lines;
  lines.push_back(make_wire(CipherSuite::gcm_aes_128, 0));
  lines.push_back(make_wire(CipherSuite::gcm_aes_256, 30));
  lines.push_back(make_wire(CipherSuite::gcm_aes_xpn_256, 0));
  lines.push_back(make_gateway_line(false));
  lines.push_back(make_gateway_line(true));
  return lines;
}

Bytes mutate(FuzzedDataProvider& in, Bytes frame) {
  for (int n = in.ConsumeIntegralInRange(0, 4); n > 0 && !frame.empty(); --n) {
    const auto at = in.ConsumeIntegralInRange<std::size_t>(0, frame.size() - 1);
    const auto place = frame.begin() + static_cast<std::ptrdiff_t>(at);
    const auto octet = in.ConsumeIntegral<std::uint8_t>();
    switch (in.ConsumeIntegralInRange(0, 5)) {
      case 0:
        *place ^= static_cast<std::uint8_t>(1U << (octet % 8U));
        break;
      case 1:
        *place = octet;
        break;
      case 2:
        frame.resize(at);
        break;
      case 3:
        frame.insert(place, octet, octet);
        break;
      case 4:
        frame.erase(place, place + std::min<std::ptrdiff_t>(octet, frame.end() - place));
        break;
      default:
        frame.resize(frame.size() + octet);
    }
  }
  return frame;
}

// Makes an IPv4 header's checksum right, which no fuzzer finds.
void mend(Bytes& frame) {
  if (frame.size() >= 34 && frame[12] == 8 && frame[13] == 0 && frame[14] == 0x45) {
    wire::set_ipv4_checksum(frame.data() + 14, 20);
  }
}

// What of a frame that enters a gateway must leave the other: the packet without its Ethernet
// header and padding, TTL, ECN and checksum, which change on the way. A wire changes nothing.
Bytes essence(const Line& line, Bytes frame) {
  const auto layer2 = wire::parse_layer2(frame);
  if (line.insider == nullptr || !layer2) return frame;
  frame.erase(frame.begin(), frame.begin() + layer2->length);
  if (layer2->ether_type != wire::kEtherTypeIpv4 || frame.size() < 20) return frame;
  frame.resize(std::min<std::size_t>(frame.size(), wire::load_be<std::uint16_t>(&frame[2])));
  if (frame.size() < 20) return frame;
  frame[1] &= 0xFCU;
  frame[8] = frame[10] = frame[11] = 0;
  return frame;
}

rte_mbuf* in_segments(const Bytes& frame, std::size_t segment) {
  rte_mbuf* first = nullptr;
  for (std::size_t at = 0; first == nullptr || at < frame.size(); at += segment) {
    const auto from = frame.begin() + static_cast<std::ptrdiff_t>(at);
    const auto length = std::min(segment, frame.size() - at);
    rte_mbuf* const m = make_mbuf(Bytes(from, from + static_cast<std::ptrdiff_t>(length)));
    if (first == nullptr) {
      first = m;
    } else {
      demand(rte_pktmbuf_chain(first, m) == 0, "the test's own chain");
    }
  }
  return first;
}

// While it lives, reading beyond the end of these packets is an error.
class Fence {
 public:
  void around(const rte_mbuf* m) {
    for (; m != nullptr; m = m->next) {
      auto* const end = static_cast<std::uint8_t*>(m->buf_addr) + m->data_off + m->data_len;
      tails_.push_back({end, rte_pktmbuf_tailroom(m)});
      ASAN_POISON_MEMORY_REGION(end, tails_.back().size());
    }
  }
  ~Fence() {
    for (const auto& tail : tails_) ASAN_UNPOISON_MEMORY_REGION(tail.data(), tail.size());
  }

 private:
  std::vector<std::span<std::uint8_t>> tails_{};
};

// Each packet received was sent, or is counted under the one reason why not.
void demand_conservation(Loop& loop) {
  for (const std::size_t lane : {0U, 1U}) {
    const LaneCounters& c = loop.lane(lane).counters();
    std::uint64_t ended = c.tx_packets.read();
    for (const Counter& reason : c.drops) ended += reason.read();
    demand(c.rx_packets.read() == ended, "received = sent + dropped");
  }
}

void take_punted(Wire& wire) {
  for (LineDirection* direction : {&wire.egress, &wire.ingress}) {
    void* m;
    while (rte_ring_dequeue(direction->punt, &m) == 0) {
      rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
    }
  }
}

// What one end makes of frames that arrive inside; those are authentic from then on.
struct Sealing {
  Line& line;
  std::vector<Bytes> authentic{};

  std::vector<Bytes> seal(Wire& end, Loop& loop, const Bytes& frame, std::size_t segment) {
    authentic.push_back(essence(line, frame));
    demand(end.inside.put_mbuf(in_segments(frame, segment)), "the test's own queue");
    loop.run_until_quiet();
    demand_conservation(loop);
    take_punted(end);
    std::vector<Bytes> frames = end.outside.take();
    for (const Bytes& f : frames) {
      const auto type = wire::load_be<std::uint16_t>(&f.at(12));
      demand(end.snapshot.macsec ? type == wire::kEtherTypeMacsec
                                 : type == wire::kEtherTypeIpv4 && f.at(23) == wire::kProtocolEsp,
             "only sealed frames leave");
    }
    return frames;
  }

  // As a member of the CA whose frames have what it likes in them.
  Bytes seal_as_insider(Bytes frame) {
    frame.resize(std::max<std::size_t>(frame.size(), 14));
    if (line.insider == nullptr) authentic.push_back(frame);
    return Sealed{
        .frame = std::move(frame), .tci_an = 0x2D, .pn = line.insiders_pn++, .sak = line.sak}
        .bytes();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto& lines = *new auto(make_lines());
  static std::uint32_t stamp = 0;
  const unsigned before = mbufs_in_use();
  FuzzedDataProvider in(data, size);
  Line& line = *lines[in.ConsumeIntegralInRange<std::size_t>(0, lines.size() - 1)];
  Sealing sealing{line};
  std::vector<std::pair<Bytes, std::size_t>> arriving;  // with the length of their segments

  for (int n = 0; n < kFrames && in.remaining_bytes() != 0; ++n) {
    const bool insider = in.ConsumeBool();
    const bool mends = in.ConsumeBool();
    const auto segment = in.ConsumeBool() ? in.ConsumeIntegralInRange<std::size_t>(16, 512) : 2048;
    enum class From { inside, outside, sealed, kMaxValue = sealed };
    const auto from = in.ConsumeEnum<From>();
    Bytes frame;
    if (in.ConsumeBool()) {
      const std::string raw = in.ConsumeRandomLengthString(kLongest);
      frame.assign(raw.begin(), raw.end());
    } else {
      frame = udp_frame(1, 2, ++stamp, in.ConsumeIntegralInRange<std::size_t>(42, 1000));
    }
    if (from == From::sealed) {
      const bool by_esp = insider && line.insider != nullptr;
      const auto sealed = by_esp ? sealing.seal(*line.insider, *line.insiders_loop, frame, segment)
                                 : sealing.seal(*line.a, line.sealer, frame, segment);
      if (sealed.empty()) continue;
      frame = sealed.front();
    }
    frame = mutate(in, std::move(frame));
    if (mends) mend(frame);
    if (from == From::inside) {
      frame.resize(std::min(frame.size(), kLongest));
      for (Bytes& f : sealing.seal(*line.a, line.sealer, frame, segment)) {
        arriving.emplace_back(std::move(f), segment);
      }
      continue;
    }
    if (insider && line.a->snapshot.macsec) frame = sealing.seal_as_insider(std::move(frame));
    arriving.emplace_back(std::move(frame), segment);
    if (in.ConsumeBool()) arriving.push_back(arriving.back());
  }

  {
    Fence fence;
    for (const auto& [frame, segment] : arriving) {
      rte_mbuf* const m = in_segments(frame, segment);
      fence.around(m);
      demand(line.b->outside.put_mbuf(m), "the test's own queue");
    }
    line.opener.run_until_quiet();
  }
  demand_conservation(line.opener);
  take_punted(*line.b);
  for (const Bytes& delivered : line.b->inside.take()) {
    const auto found =
        std::find(sealing.authentic.begin(), sealing.authentic.end(), essence(line, delivered));
    demand(found != sealing.authentic.end(), "only what was sealed is delivered, and once");
    sealing.authentic.erase(found);
  }
  demand(line.b->outside.take().empty(), "what arrives is not sent back");
  demand(mbufs_in_use() == before, "every buffer comes back");
  return 0;
}
