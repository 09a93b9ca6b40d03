// OpenSSL: the fallback where no ipsec-mb runs, the oracle of the tests, and the path to a FIPS
// provider.
#pragma once

#include <memory>
#include <string>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// Instances of one OpenSSL factory that may exist at once (workers and the control thread).
inline constexpr unsigned kMaxOpenSslInstances = 64;

/// `properties` is an OpenSSL property query for all fetches, e.g. "fips=yes"; empty: the default
/// provider. An algorithm that the query does not yield is not supported, the others are. Keys are
/// shared among all factories with one query.
///
/// A key keeps one set of OpenSSL contexts per worker, made the first time that worker uses the
/// key: the only engine that allocates while packets flow.
Result<std::unique_ptr<EngineFactory>> make_openssl_factory(const std::string& properties = {});

}  // namespace sealwire::crypto
