// The wire formats alone: what is built is parsed again, and nothing is read beyond the end.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/ip.h"
#include "pipelines/wire/macsec.h"

namespace sealwire::pipelines::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

// At the very end of its allocation, so that a sanitizer sees every octet read too many.
Bytes exactly(std::size_t size) {
  Bytes b(size);
  b.shrink_to_fit();
  return b;
}

TEST(WireBigEndian, RoundTripAndOrder) {
  std::uint8_t b[8];
  store_be<std::uint64_t>(b, 0x0102030405060708);
  for (std::uint8_t i = 0; i < 8; ++i) EXPECT_EQ(b[i], i + 1);
  EXPECT_EQ(load_be<std::uint64_t>(b), 0x0102030405060708U);
  EXPECT_EQ(load_be<std::uint32_t>(b + 1), 0x02030405U);
  EXPECT_EQ(load_be<std::uint16_t>(b + 3), 0x0405U);
  EXPECT_EQ(Be32(0xA0B0C0D0).value(), 0xA0B0C0D0U);
  EXPECT_EQ(view_at<SecTag>(b)->tci_an, 3);
}

TEST(WireMacsec, ParseOfBuildIsTheSame) {
  EXPECT_TRUE(rc::check("parse(build(x)) = x", [] {
    const bool sc = *rc::gen::arbitrary<bool>();
    const auto low = static_cast<std::uint8_t>(*rc::gen::element(0x00, 0x08, 0x0C, 0x04) |
                                               *rc::gen::inRange(0, 4));
    const auto tci =
        static_cast<std::uint8_t>(low | (sc ? kTciSc : *rc::gen::element(0x00, 0x40, 0x10, 0x50)));
    const auto secure = *rc::gen::oneOf(rc::gen::inRange<std::uint16_t>(1, 100),
                                        rc::gen::inRange<std::uint16_t>(1, 10000));
    const auto pn = *rc::gen::arbitrary<std::uint32_t>();
    const auto sci = *rc::gen::arbitrary<std::uint64_t>();
    const auto padding = secure < kShortLengthLimit ? *rc::gen::inRange<std::size_t>(0, 50) : 0;
    Bytes b = exactly(sectag_length(tci) + std::size_t{secure} + kMacsecIcvLength + padding);
    write_sectag(b.data(), tci, secure, pn, sci);
    const auto tag = parse_sectag(b);
    RC_ASSERT(tag.has_value());
    RC_ASSERT(tag->tci_an == tci);
    RC_ASSERT(tag->secure_length == secure);
    RC_ASSERT(tag->pn == pn);
    RC_ASSERT(tag->length == sectag_length(tci));
    if (sc) RC_ASSERT(tag->sci == sci);
  }));
}

TEST(WireMacsec, AnyOctetsNeverReachBeyondTheFrame) {
  EXPECT_TRUE(rc::check("a parsed SecTAG lies within the frame", [] {
    const auto octets = *rc::gen::container<Bytes>(rc::gen::arbitrary<std::uint8_t>());
    Bytes b = exactly(octets.size());
    std::copy(octets.begin(), octets.end(), b.begin());
    if (b.size() > 3) {
      b[2] &= *rc::gen::element<std::uint8_t>(0xFF, 0x2F, 0x0F);
      b[3] &= *rc::gen::element<std::uint8_t>(0xFF, 0x3F, 0x0F);
    }
    if (const auto tag = parse_sectag(b)) {
      RC_ASSERT(std::size_t{tag->length} + tag->secure_length + kMacsecIcvLength <= b.size());
    }
  }));
}

TEST(WireMacsec, BoundariesOf9_12) {
  const auto valid = [](std::uint8_t tci, std::uint8_t sl, std::size_t size) {
    Bytes b = exactly(size);
    b[2] = tci;
    b[3] = sl;
    return parse_sectag(b).has_value();
  };
  // Counted from the EtherType (802.1AE 9.12): 24 + SL without, 32 + SL with SCI; SL 0: 72 and 80.
  EXPECT_FALSE(valid(0, 0, 71));
  EXPECT_TRUE(valid(0, 0, 72));
  EXPECT_FALSE(valid(kTciSc, 0, 79));
  EXPECT_TRUE(valid(kTciSc, 0, 80));
  EXPECT_FALSE(valid(0, 1, 24));
  EXPECT_TRUE(valid(0, 1, 25));
  EXPECT_FALSE(valid(kTciSc, 47, 78));
  EXPECT_TRUE(valid(kTciSc, 47, 79));
  EXPECT_FALSE(valid(0, 0x40, 200));
  EXPECT_FALSE(valid(0, 0x80, 200));
  EXPECT_FALSE(valid(kTciVersion, 0, 200));
  EXPECT_FALSE(valid(kTciSc | kTciEs, 0, 200));
  EXPECT_FALSE(valid(kTciSc | kTciScb, 0, 200));
  EXPECT_TRUE(valid(kTciEs | kTciScb, 0, 200));
  for (std::size_t size = 0; size < 17; ++size) EXPECT_FALSE(parse_sectag(exactly(size)));
}

TEST(WireMacsec, SlOnlyBelow48) {
  std::uint8_t b[16];
  write_sectag(b, kTciSc, 47, 1, 2);
  EXPECT_EQ(b[3], 47);
  write_sectag(b, kTciSc, 48, 1, 2);
  EXPECT_EQ(b[3], 0);
}

TEST(WireMacsec, SciOfAnAddress) {
  const std::uint8_t source[] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
  EXPECT_EQ(sci_of(source, kPortEs), 0x0211223344550001U);
}

// With every checksum there is, the header without options and its sum by whole words.
TEST(WireIp, OneHopKeepsTheChecksumRight) {
  std::array<std::uint8_t, 20> header{0x45, 0, 0, 84, 0, 0, 0x40, 0, 1, 17, 0, 0, 10, 1, 0, 2, 10};
  for (unsigned id = 0; id < 0x10000; ++id) {
    store_be(header.data() + 4, static_cast<std::uint16_t>(id));
    header[8] = static_cast<std::uint8_t>(id % 255 + 1);
    set_ipv4_checksum(header.data(), 20);
    EXPECT_EQ(fold(sum_ipv4_header(header.data())), 0xffff);
    std::array<std::uint8_t, 20> after = header;
    --after[8];
    set_ipv4_checksum(after.data(), 20);
    decrement_ttl(header.data(), false);
    ASSERT_EQ(header, after) << id;
    header[19] = static_cast<std::uint8_t>(id >> 3);
  }
}

TEST(WireEthernet, VlanTagsAreWalkedUpToTheLimit) {
  const auto frame = [](std::initializer_list<std::uint8_t> after) {
    Bytes b = exactly(12 + after.size());
    std::copy(after.begin(), after.end(), b.begin() + 12);
    return b;
  };
  const Bytes two = frame({0x88, 0xA8, 0, 1, 0x81, 0, 0, 2, 0x08, 0x00});
  const auto all = parse_layer2(two);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->ether_type, kEtherTypeIpv4);
  EXPECT_EQ(all->length, 22);
  EXPECT_EQ(all->vlan_tags, 2);
  EXPECT_EQ(parse_layer2(two, 1)->ether_type, kEtherTypeVlan);
  EXPECT_EQ(parse_layer2(two, 0)->ether_type, kEtherTypeQinq);
  EXPECT_EQ(parse_layer2(two, 0)->length, 14);
  EXPECT_FALSE(parse_layer2(frame({0x81, 0, 0, 1})));
  EXPECT_FALSE(parse_layer2(frame({0x81, 0, 0, 1, 8})));
  for (std::size_t n = 0; n < 14; ++n) EXPECT_FALSE(parse_layer2(exactly(n)));
}

}  // namespace
}  // namespace sealwire::pipelines::wire
