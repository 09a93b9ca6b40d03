#include "perf/pipeline/measure.h"

namespace sealwire::perf {
namespace {

using crypto::Algorithm;
using pipelines::CipherSuite;

// Of ESP beside AES-GCM-128.
constexpr struct {
  Algorithm algorithm;
  bool usual;
} kAlgorithms[] = {{Algorithm::aes_gcm_256, false},
                   {Algorithm::chacha20_poly1305, true},
                   {Algorithm::aes_cbc_128_hmac_sha1_96, true},
                   {Algorithm::aes_cbc_128_hmac_sha256_128, false},
                   {Algorithm::aes_cbc_256_hmac_sha256_128, true}};
constexpr struct {
  CipherSuite suite;
  const char* name;
} kSuites[] = {{CipherSuite::gcm_aes_256, "gcm-aes-256"},
               {CipherSuite::gcm_aes_xpn_128, "gcm-aes-xpn-128"},
               {CipherSuite::gcm_aes_xpn_256, "gcm-aes-xpn-256"}};
constexpr std::uint16_t kSizesOfThem[] = {64, 512, 1420, 0};
constexpr double kMostOverhead = 80;  // cycles over what the best code for them costs

void one(Suite& suite, const Combination& line, const Ciphers& ciphers, std::uint16_t size,
         bool ingress) {
  const std::string name = name_of(line, ingress, size) + " " + ciphers.name;
  if (!suite.wants(name)) return;
  Measured measured = measure(suite, {line, size, ingress, 1, ciphers});
  const Runs& runs = measured.runs;
  if (line.stages.esp)
    set_goal(measured, kMostOverhead, "cycles over the crypto", [&runs](std::size_t run) {
      return runs.total[run] - runs.floor[run] - runs.crypto[run];
    });
  put(suite, name, measured.row);
}

}  // namespace

void cipher_rows(Suite& suite) {
  if (!suite.wants_one_sa()) return;
  const bool full = suite.options().full;
  for (const auto& [algorithm, usual] : kAlgorithms)
    for (const std::uint16_t size : kSizesOfThem)
      for (const bool ingress : {false, true})
        if (full || (usual && size == 1420)) one(suite, kEsp, {.esp = algorithm}, size, ingress);
  for (const auto& [cipher_suite, name] : kSuites)
    for (const std::uint16_t size : kSizesOfThem)
      for (const bool ingress : {false, true})
        if (full || (size == 64 && !ingress))
          one(suite, kMacsec, {.macsec = cipher_suite, .name = name}, size, ingress);
}

}  // namespace sealwire::perf
