// Wires end to end on one worker: what one SecY seals another opens, in order and unchanged.
#include <gtest/gtest.h>

#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

TEST(MacsecWire, NoStagesPassFramesUnchangedBothWays) {
  Wire wire({.macsec = false});
  Loop loop(both({&wire}));
  const unsigned before = mbufs_in_use();
  std::vector<Bytes> sent;
  for (std::uint32_t i = 0; i < 100; ++i) sent.push_back(make_frame(60 + i, i));
  for (const Bytes& f : sent) ASSERT_TRUE(wire.inside.put(f) && wire.outside.put(f));
  loop.run_until_quiet();
  EXPECT_TRUE(same(wire.outside.take(), sent));
  EXPECT_TRUE(same(wire.inside.take(), sent));
  EXPECT_EQ(loop.lane(0).counters().rx_packets.read(), 100U);
  EXPECT_EQ(loop.lane(0).counters().tx_packets.read(), 100U);
  EXPECT_EQ(mbufs_in_use(), before);
}

TEST(MacsecWire, GcmAes128BothDirections) {
  Sites s;
  add_transmit(*s.a.secy, {});
  add_receive(*s.b.secy, kSciA, {});
  add_transmit(*s.b.secy, {.fill = 2});
  add_receive(*s.a.secy, kSciB, {.fill = 2});
  const unsigned before = mbufs_in_use();
  std::vector<Bytes> up, down;
  for (std::uint32_t i = 0; i < 300; ++i) {
    up.push_back(make_frame(14 + i * 5, i));
    down.push_back(make_frame(60 + i, i + 1000));
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    ASSERT_TRUE(s.a.inside.put(up[i]) && s.b.inside.put(down[i]));
  }
  s.loop.run_until_quiet();
  const auto wire_up = Sites::carry(s.a, s.b), wire_down = Sites::carry(s.b, s.a);
  ASSERT_EQ(wire_up.size(), up.size());
  for (std::size_t i = 0; i < wire_up.size(); ++i) {
    const auto tag = wire::parse_sectag(std::span(wire_up[i]).subspan(12));
    ASSERT_TRUE(tag);
    EXPECT_EQ(tag->pn, i + 1);
    EXPECT_EQ(tag->sci, kSciA);
    EXPECT_EQ(tag->tci_an, wire::kTciSc | wire::kTciE | wire::kTciC);
    EXPECT_EQ(wire_up[i].size(), up[i].size() + 32);
    // The customer's octets are not on the wire.
    EXPECT_NE(Bytes(wire_up[i].begin() + 28, wire_up[i].end() - 16),
              Bytes(up[i].begin() + 12, up[i].end()));
  }
  s.loop.run_until_quiet();
  EXPECT_TRUE(same(s.b.inside.take(), up));
  EXPECT_TRUE(same(s.a.inside.take(), down));
  EXPECT_EQ(wire_down.size(), down.size());
  const auto status = s.b.secy->receive_sa(crypto::Sci(kSciA), crypto::An(0));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->ok, 300U);
  EXPECT_EQ(status->next_pn, 301U);
  EXPECT_EQ(s.a.secy->transmit_counters().out_pkts_encrypted.read(), 300U);
  EXPECT_EQ(mbufs_in_use(), before);
}

}  // namespace
}  // namespace sealwire::pipelines::test
