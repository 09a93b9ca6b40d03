// Seal and open across random sizes, segment layouts, suites and engines: each engine opens what
// any other sealed.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rte_mbuf.h>

#include "crypto/engines/auto.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/openssl.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

struct Engines {
  Engines() {
    factories.push_back(crypto::make_openssl_factory().value());
    factories.push_back(crypto::make_ipsec_mb_factory().value());
    factories.push_back(crypto::make_auto_factory().value());
    for (auto& f : factories) engines.push_back(f->make().value());
  }
  std::vector<std::unique_ptr<crypto::EngineFactory>> factories;
  std::vector<std::unique_ptr<crypto::Engine>> engines;
};

std::unique_ptr<crypto::AeadKey> key_of(crypto::Engine& e, CipherSuite suite) {
  const bool wide = algorithm_of(suite) == crypto::Algorithm::aes_gcm_256;
  return e.make_key(algorithm_of(suite), crypto::SecretBytes(Bytes(wide ? 32 : 16, 5))).value();
}

// One wire's direction, stepped by hand with an engine of its own.
struct Hand {
  Hand(LineDirection& d, crypto::Engine& e)
      : lane({.line = &d, .receive = {{0, 0}}, .engine = &e}) {}
  void run() {
    for (int i = 0; i < 4; ++i) lane.poll(true);
  }
  Lane lane;
};

TEST(MacsecProperty, EveryEngineOpensWhatEveryOtherSealed) {
  start_eal();
  Engines all;
  const unsigned before = mbufs_in_use();
  EXPECT_TRUE(rc::check("open(seal(x)) = x", [&all] {
    auto& sealer = *all.engines[*rc::gen::inRange<std::size_t>(0, all.engines.size())];
    auto& opener = *all.engines[*rc::gen::inRange<std::size_t>(0, all.engines.size())];
    const auto suite = static_cast<CipherSuite>(*rc::gen::inRange(0, 4));
    const bool confidential = *rc::gen::arbitrary<bool>();
    const auto offset = is_xpn(suite) || !confidential ? std::uint8_t{0}
                                                       : *rc::gen::element<std::uint8_t>(0, 30, 50);
    const auto pn =
        1 + *rc::gen::inRange<std::uint64_t>(0, is_xpn(suite) ? 1ULL << 50 : 1ULL << 31);
    LineOptions o;
    o.secy.include_sci = *rc::gen::arbitrary<bool>();
    o.secy.vlan_in_clear = *rc::gen::inRange<std::uint8_t>(0, 3);
    o.secy.sci = crypto::Sci(kSciA);
    Wire a(o);
    o.secy.sci = crypto::Sci(kSciB);
    Wire b(o);
    RC_ASSERT(a.secy
                  ->install_transmit_sa({.suite = suite,
                                         .confidentiality = confidential,
                                         .confidentiality_offset = offset,
                                         .ssci = crypto::Ssci(1),
                                         .next_pn = crypto::Pn(pn),
                                         .key = key_of(sealer, suite)})
                  .has_value());
    RC_ASSERT(a.secy->enable_transmit(crypto::An(0), true).has_value());
    RC_ASSERT(a.secy->set_encoding_sa(crypto::An(0)).has_value());
    RC_ASSERT(b.secy->create_receive_sc(crypto::Sci(kSciA)).has_value());
    RC_ASSERT(b.secy
                  ->install_receive_sa(crypto::Sci(kSciA), {.suite = suite,
                                                            .confidentiality_offset = offset,
                                                            .ssci = crypto::Ssci(1),
                                                            .lowest_pn = crypto::Pn(pn),
                                                            .key = key_of(opener, suite)})
                  .has_value());
    RC_ASSERT(b.secy->enable_receive(crypto::Sci(kSciA), crypto::An(0), true).has_value());
    std::vector<Bytes> sent;
    const auto count = *rc::gen::inRange(1, 20);
    for (int i = 0; i < count; ++i) {
      const auto length = *rc::gen::oneOf(rc::gen::inRange<std::size_t>(14, 130),
                                          rc::gen::inRange<std::size_t>(14, 2000),
                                          rc::gen::inRange<std::size_t>(14, 9000));
      const auto type = *rc::gen::element<std::uint16_t>(0x0800, 0x8100, 0x88A8, 0x88CC);
      const Bytes f =
          make_frame(std::max<std::size_t>(length, 22), static_cast<std::uint32_t>(i), type);
      const auto piece = *rc::gen::inRange<std::size_t>(1 + f.size() / 20, 2048);
      rte_mbuf* head = nullptr;
      for (std::size_t at = 0; at < f.size(); at += piece) {
        const auto end = std::min(at + piece, f.size());
        rte_mbuf* const m = make_mbuf(Bytes(f.begin() + static_cast<std::ptrdiff_t>(at),
                                            f.begin() + static_cast<std::ptrdiff_t>(end)),
                                      pool());
        if (head == nullptr) {
          head = m;
        } else {
          RC_ASSERT(rte_pktmbuf_chain(head, m) == 0);
        }
      }
      RC_ASSERT(a.inside.put_mbuf(head));
      sent.push_back(f);
    }
    Hand(a.egress, sealer).run();
    std::vector<Bytes> wire = a.outside.take();
    RC_ASSERT(wire.size() == sent.size());
    for (const Bytes& f : wire) RC_ASSERT(b.outside.put(f));
    Hand(b.ingress, opener).run();
    RC_ASSERT(b.inside.take() == sent);
  }));
  EXPECT_EQ(mbufs_in_use(), before);
}

}  // namespace
}  // namespace sealwire::pipelines::test
