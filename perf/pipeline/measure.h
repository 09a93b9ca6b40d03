// One row of one core, with the I/O floor and the crypto cost of the same run beside it.
#pragma once

#include "perf/pipeline/suite.h"

namespace sealwire::perf {

inline constexpr auto kUsualAlgorithm = crypto::Algorithm::aes_gcm_128;
inline constexpr auto kUsualSuite = pipelines::CipherSuite::gcm_aes_128;

struct Ciphers {
  crypto::Algorithm esp = kUsualAlgorithm;
  pipelines::CipherSuite macsec = kUsualSuite;
  std::string name = std::string(crypto::info(esp).name);  // in the row
};

/// Throws where a packet is lost.
nlohmann::json measure(Suite& suite, const Combination& line, unsigned sas, std::uint16_t size,
                       bool ingress, const Ciphers& ciphers = {});

/// Prints the row, which measure() has made, and adds it.
void put(Suite& suite, const std::string& name, const nlohmann::json& row);

}  // namespace sealwire::perf
