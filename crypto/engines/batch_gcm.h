// Our own AES-GCM, written for bursts: many packets in flight, each with its own key. GCM and GMAC
// of all key lengths.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// The kernels this processor can run, the widest first: "vaes512", "aesni". Empty: no AES
/// instructions.
std::vector<std::string_view> batch_gcm_kernels();

/// An engine on one of batch_gcm_kernels(), or on the first of them when `kernel` is empty. All of
/// them share keys. Error SW-CRY-050: this processor cannot run it.
Result<std::unique_ptr<EngineFactory>> make_batch_gcm_factory(std::string_view kernel = {});

}  // namespace sealwire::crypto
