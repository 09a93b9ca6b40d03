// libFuzzer target: MKPDUs. Every input is parsed as it is; then its parameter sets are given a
// good ICV and go to a KaY that has a session with a scripted peer, so that the fuzzer gets past
// authentication, as a hostile member of the CA would. Besides crashes, what the SecY model calls a
// violation (a live AN reused, a SAK transmitted with twice) is a finding.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "tests/unit/mka/simulator.h"

using namespace sealwire::mka;
using namespace sealwire::mka::test;

namespace {

// The frame's basic set made ours to accept (SCI, MI, MN, CKN of the scripted peer), everything
// after it the fuzzer's.
std::vector<uint8_t> authenticated(ScriptedPeer& peer, const Envelope& envelope) {
  ++peer.mkpdu.basic.mn;
  peer.mkpdu.basic.priority = envelope.basic.priority;
  peer.mkpdu.basic.key_server = envelope.basic.key_server;
  peer.mkpdu.basic.version = envelope.basic.version;
  peer.mkpdu.basic.capability = envelope.basic.capability;
  peer.mkpdu.basic.macsec_desired = envelope.basic.macsec_desired;
  auto frame = build_without_icv(peer.mkpdu, peer.options);
  frame.insert(frame.end(), envelope.sets.begin(), envelope.sets.end());
  const size_t body = frame.size() - 18 + kIcvLength;
  frame[16] = static_cast<uint8_t>(body >> 8);
  frame[17] = static_cast<uint8_t>(body);
  const auto icv = *mkpdu_icv(peer.keys().ick, frame);
  frame.insert(frame.end(), icv.begin(), icv.end());
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> frame(data, size);
  const auto envelope = parse_envelope(frame, kEapolEtherType);
  if (!envelope) return 0;
  if (const auto mkpdu = parse_sets(*envelope)) {
    // What we understood can be said again, and is then understood alike.
    auto built = build_without_icv(
        *mkpdu, {envelope->destination, envelope->source, kEapolEtherType, false});
    built.insert(built.end(), kIcvLength, 0);
    const auto again = parse_envelope(built, kEapolEtherType);
    const bool known_suite =
        !mkpdu->distributed_sak || mkpdu->distributed_sak->plain || mkpdu->distributed_sak->suite;
    const bool same_length = envelope->basic.version <= kMkaVersion;
    if (known_suite && same_length && mkpdu->key_server_ssci == 0) {
      if (!again) std::abort();
      const auto parsed_again = parse_sets(*again);
      if (!parsed_again || !(*parsed_again == *mkpdu)) std::abort();
    }
  }

  Simulator sim(7);
  auto settings = sim.settings_for(0);
  settings.suites = {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_xpn_256};
  std::vector<KeySettings> keys;
  keys.push_back(make_key("fuzz", 1));
  auto& station = sim.add(std::move(settings), std::move(keys));
  ScriptedPeer peer(sim, make_key("fuzz", 1), size % 2 == 0 ? 1 : 200);
  peer.send_to(station);
  sim.run_for(Time{60});
  peer.name(station);
  peer.send_to(station);
  sim.run_for(Time{60});
  peer.mkpdu.live.clear();
  sim.deliver(station, authenticated(peer, *envelope));
  sim.run_for(Time{3000});
  sim.deliver(station, authenticated(peer, *envelope));
  // A list that names us, so that what follows counts.
  peer.name(station);
  const auto mkpdu = parse_sets(*envelope);
  if (mkpdu) {
    peer.mkpdu.sak_use = mkpdu->sak_use;
    peer.mkpdu.xpn = mkpdu->xpn;
    if (mkpdu->distributed_sak &&
        (mkpdu->distributed_sak->plain || mkpdu->distributed_sak->suite)) {
      peer.mkpdu.distributed_sak = mkpdu->distributed_sak;
      if (!mkpdu->distributed_sak->plain) {
        // A wrap that opens: the fuzzer cannot make one.
        peer.mkpdu.distributed_sak->wrapped =
            *wrap_sak(peer.keys().kek, secret(sak_length(*mkpdu->distributed_sak->suite), 9));
      }
    }
  }
  peer.send_to(station);
  sim.run_for(Time{20'000});
  if (!sim.violations.empty()) std::abort();
  return 0;
}
