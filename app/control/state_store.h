// The state directory: which packet and sequence numbers of static keys may already have been used.
//
// A static key is the same key after a restart, so its numbers must never start again. Before an SA
// uses numbers, a block of them is recorded here durably (temporary file, fsync, rename, fsync of
// the directory); after a crash the SA goes on behind the last recorded block. Agreed keys (MKA,
// IKE) are fresh at every start and never come here.
//
// Records are found by what makes a nonce unique, never by a name, SPI or AN: see NonceSpace.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/numbers.h"
#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::control {

// What one counter guards: all nonces that share this key and these fixed nonce octets. Two SAs
// with the same space share one record, whatever they are called.
//
//   ESP AEAD     nonce = salt || IV(SN)            the key, fixed octets: salt
//   ESP CBC      IV = E_k(block of SN)             the cipher key alone
//   ESP NULL     no nonce; replay at the peer      the whole key
//   MACsec       nonce = SCI || PN                 the key, fixed octets: SCI
//   MACsec XPN   nonce = (SSCI || PN) xor Salt     the key, fixed octets: SSCI xor Salt[0..4);
//   Salt[4..12) must stay
//                                                  the same, or other PNs give the same nonces:
//                                                  `bound`
struct NonceSpace {
  using Digest = std::array<std::uint8_t, 32>;
  crypto::SecretBytes key;
  std::vector<std::uint8_t> fixed;
  std::vector<std::uint8_t> bound;

  static NonceSpace esp(crypto::Algorithm algorithm, std::span<const std::uint8_t> key,
                        std::span<const std::uint8_t> salt);
  static NonceSpace macsec(std::span<const std::uint8_t> sak, crypto::Sci sci);
  static NonceSpace macsec_xpn(std::span<const std::uint8_t> sak, crypto::Ssci ssci,
                               std::span<const std::uint8_t> salt12);
};

// One thread. Holds an exclusive lock on the directory while it lives.
class StateStore {
 public:
  using Fingerprint = std::array<std::uint8_t, 32>;
  struct Request {
    Fingerprint fingerprint;
    std::uint64_t next;  // numbers below are used or may be; the record never goes back
  };

  // Makes the directory (mode 0700) with an empty record file. Refuses one that holds state already
  // unless `force`, which forgets every recorded number: only right when every static key is
  // replaced at the same time.
  static Result<void> init(const std::string& directory, bool force);

  // Reads and checks everything. Errors: SW-STA-001 not initialised, SW-STA-002 torn or altered,
  // SW-STA-003 in use by another daemon, SW-STA-004 not accessible.
  static Result<StateStore> open(const std::string& directory);

  StateStore(StateStore&& other) noexcept;
  StateStore& operator=(StateStore&& other) noexcept;
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;
  ~StateStore();

  // HMAC-SHA-256 of the space under this directory's own key. Error SW-STA-005: this key was used
  // before with another `bound`, so numbers alone no longer tell nonces apart; the key must be
  // replaced.
  Result<Fingerprint> identify(const NonceSpace& space);

  // The first number that was never recorded as usable, or nothing when this space is new.
  std::optional<std::uint64_t> recorded(const Fingerprint& fingerprint) const;

  // Records all requests in one durable write. On error nothing may be used: the caller must not
  // raise any limit.
  Result<void> record(std::span<const Request> requests);

  // After a clean stop of all workers: the exact next numbers, so that a restart wastes no block.
  // Only lowers a record that this run raised, and never below what the run started with.
  Result<void> release(std::span<const Request> requests);

  const std::string& directory() const { return directory_; }
  std::size_t size() const { return records_.size(); }

 private:
  struct Record {
    std::uint64_t next = 0;
    std::uint64_t at_start = 0;
    std::array<std::uint8_t, 32> bound{};  // HMAC of NonceSpace::bound, zero when there is none
  };
  StateStore() = default;
  Result<void> write(const std::map<Fingerprint, Record>& records) const;
  static Result<void> write_file(const std::string& directory, const std::string& text);

  std::string directory_;
  int lock_ = -1;
  crypto::SecretBytes directory_key_;
  std::map<Fingerprint, Record> records_;
};

}  // namespace sealwire::control
