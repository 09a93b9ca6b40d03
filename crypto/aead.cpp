#include "crypto/aead.h"

#include <string>

namespace sealwire::crypto {

Result<void> check_key_length(Algorithm algorithm, const SecretBytes& key) {
  const AlgorithmInfo& facts = info(algorithm);
  if (key.size() == facts.key_length()) return {};
  return fail("SW-CRY-020",
              std::string(facts.name) + " takes a key of " + std::to_string(facts.key_length()) +
                  " octets, not " + std::to_string(key.size()),
              "give the cipher key and, for HMAC, the integrity key at their full lengths");
}

}  // namespace sealwire::crypto
