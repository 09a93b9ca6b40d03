// Run under valgrind's memcheck with keys and data marked as undefined: any branch or index that
// depends on them is reported. `leak` as the argument does such a thing on purpose, to show that it
// would be seen.
#include <valgrind/memcheck.h>

#include <cstring>
#include <vector>

#include "crypto/engines/batch_gcm.h"

namespace sealwire::crypto {
namespace {

int seal_secrets() {
  auto factory = make_batch_gcm_factory("aesni");  // valgrind does not know AVX-512
  if (!factory) return 1;
  auto engine = std::move(*(*factory)->make());
  for (const Algorithm algorithm :
       {Algorithm::aes_gcm_128, Algorithm::aes_gcm_192, Algorithm::aes_gcm_256}) {
    std::vector<std::uint8_t> key(info(algorithm).cipher_key_length, 7);
    VALGRIND_MAKE_MEM_UNDEFINED(key.data(), key.size());
    auto made = engine->make_key(algorithm, SecretBytes(key));
    if (!made) return 1;
    for (std::uint32_t length : {0u, 1u, 15u, 16u, 52u, 64u, 127u, 128u, 129u, 300u, 1420u}) {
      for (std::uint32_t aad_length : {0u, 8u, 12u, 28u, 100u}) {
        std::vector<std::uint8_t> aad(aad_length), data(length + 16);
        VALGRIND_MAKE_MEM_UNDEFINED(data.data(), data.size());
        AeadBatch batch;
        AeadOp& op = batch.add();
        op.key = made->get();
        op.aad = aad.data();
        op.aad_length = aad_length;
        op.data = data.data();
        op.length = length;
        op.tag = data.data() + length;
        engine->submit(batch);
        if (op.status != OpStatus::ok) return 1;
      }
    }
  }
  return 0;
}

int leak_secret() {
  std::uint8_t key[16];
  VALGRIND_MAKE_MEM_UNDEFINED(key, sizeof key);
  return key[3] == 9 ? 1 : 0;
}

}  // namespace
}  // namespace sealwire::crypto

int main(int count, char** words) {
  if (count > 1 && std::strcmp(words[1], "leak") == 0) return sealwire::crypto::leak_secret();
  return sealwire::crypto::seal_secrets();
}
