// MKPDUs recorded from wpa_supplicant (tests/vectors/mkpdu): an independent MKA wrote them. Their
// ICVs are verified, the SAKs unwrapped, and each recorded frame is rebuilt from what was parsed,
// octet for octet.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "app/control/mka/keys.h"
#include "app/control/mka/mkpdu.h"

namespace sealwire::mka {
namespace {

std::vector<std::vector<uint8_t>> frames_of(const std::string& file) {
  std::ifstream in("tests/vectors/mkpdu/" + file, std::ios::binary);
  const std::vector<uint8_t> pcap((std::istreambuf_iterator<char>(in)), {});
  const auto u32 = [&](size_t at) {
    return static_cast<size_t>(pcap[at] | pcap[at + 1] << 8 | pcap[at + 2] << 16 |
                               pcap[at + 3] << 24);
  };
  std::vector<std::vector<uint8_t>> frames;
  for (size_t at = 24; at + 16 <= pcap.size();) {
    const size_t length = u32(at + 8);
    at += 16;
    frames.emplace_back(pcap.begin() + static_cast<ptrdiff_t>(at),
                        pcap.begin() + static_cast<ptrdiff_t>(at + length));
    at += length;
  }
  return frames;
}

struct Recording {
  const char* file;
  const char* cak;
  const char* ckn;
  size_t frames;
  std::vector<std::string> saks;
};

class Recorded : public testing::TestWithParam<Recording> {};

TEST_P(Recorded, IcvsVerifyAndSaksUnwrap) {
  const Recording& recording = GetParam();
  const auto cak = crypto::SecretBytes::from_hex(recording.cak).value();
  const auto ckn_octets = crypto::SecretBytes::from_hex(recording.ckn).value();
  const Ckn ckn = *Ckn::from(ckn_octets.view());
  const auto keys = derive_keys(cak, ckn).value();
  const auto frames = frames_of(recording.file);
  ASSERT_EQ(frames.size(), recording.frames);
  std::vector<std::string> saks;
  std::set<Ki> seen;
  for (size_t i = 0; i < frames.size(); ++i) {
    SCOPED_TRACE(i);
    const auto envelope = parse_envelope(frames[i], kEapolEtherType);
    ASSERT_TRUE(envelope) << name(envelope.error());
    EXPECT_EQ(envelope->basic.ckn, ckn);
    const auto icv = mkpdu_icv(keys.ick, envelope->authenticated);
    ASSERT_TRUE(icv);
    EXPECT_TRUE(std::equal(icv->begin(), icv->end(), envelope->icv.begin()));
    const auto mkpdu = parse_sets(*envelope);
    ASSERT_TRUE(mkpdu) << name(mkpdu.error());
    // EAPOL version and the layout of the lists are the sender's choice; everything we parsed is in
    // our own frame again.
    auto built = build_without_icv(
        *mkpdu, {envelope->destination, envelope->source, kEapolEtherType, false});
    built[14] = frames[i][14];
    EXPECT_EQ(built,
              std::vector<uint8_t>(envelope->authenticated.begin(), envelope->authenticated.end()));
    if (!mkpdu->distributed_sak) continue;
    const auto sak = unwrap_sak(keys.kek, mkpdu->distributed_sak->wrapped);
    ASSERT_TRUE(sak);
    if (seen.insert({mkpdu->basic.mi, mkpdu->distributed_sak->kn}).second)
      saks.push_back(hex(sak->view()));
    // One flipped bit anywhere in the wrap is noticed.
    auto wrapped = mkpdu->distributed_sak->wrapped;
    wrapped[i % wrapped.size()] ^= 0x10;
    EXPECT_FALSE(unwrap_sak(keys.kek, wrapped));
  }
  EXPECT_EQ(saks, recording.saks);
}

TEST_P(Recorded, OneFlippedBitBreaksTheIcv) {
  const Recording& recording = GetParam();
  const auto cak = crypto::SecretBytes::from_hex(recording.cak).value();
  const auto ckn_octets = crypto::SecretBytes::from_hex(recording.ckn).value();
  const auto keys = derive_keys(cak, *Ckn::from(ckn_octets.view())).value();
  auto frame = frames_of(recording.file).front();
  for (size_t at = 0; at + kIcvLength < frame.size(); ++at) {
    frame[at] ^= 0x01;
    if (const auto envelope = parse_envelope(frame, kEapolEtherType)) {
      const auto icv = mkpdu_icv(keys.ick, envelope->authenticated);
      EXPECT_FALSE(std::equal(icv->begin(), icv->end(), envelope->icv.begin())) << at;
    }
    frame[at] ^= 0x01;
  }
}

INSTANTIATE_TEST_SUITE_P(
    WpaSupplicant, Recorded,
    testing::Values(Recording{"wpa_gcm128.pcap",
                              "00112233445566778899aabbccddeeff",
                              "5365616c7769726501",
                              43,
                              {"bf7a539bdf77ddc2e81d0508a0d4f9a4",
                               "2476b1188741ddc4e7f1c2f5994bbd19",
                               "2699b75febd4d4187c7667fddcdbfeac"}},
                    Recording{"wpa_cak256.pcap",
                              "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                              "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
                              13,
                              {"4b11fd2e9e90999c9d2ef19f9538f5cd"}},
                    Recording{"wpa_ckn1.pcap",
                              "ffeeddccbbaa99887766554433221100",
                              "07",
                              14,
                              {"ae2f1ad4b0526729123ccc2ae9c5f2b9"}}),
    [](const auto& each) {
      return std::string(each.param.file, std::string(each.param.file).size() - 5);
    });

}  // namespace
}  // namespace sealwire::mka
