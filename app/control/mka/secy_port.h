// The one interface between a KaY and its SecY (802.1X-2020 §10.7, 802.1AE §10.7): the LMI of the
// SecY in the standard's terms. Called by the control thread only. Every call has taken effect for
// the data path when it returns or very soon after; a rekey never depends on the exact moment
// because receive SAs are created long before any peer transmits with them.
#pragma once

#include <array>
#include <cstdint>

#include "app/control/mka/types.h"
#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::mka {

/// What an SA of one SAK has in common for all SCs. Refers to the KaY's copy: valid during the call
/// only.
struct SaParameters {
  const crypto::SecretBytes& sak;
  CipherSuite suite;
  Confidentiality confidentiality;
  Ki key_identifier;
  std::array<uint8_t, 12> salt;  ///< XPN suites
  Ssci ssci;                     ///< XPN suites: of the SC that the SA belongs to
};

/// What the Controlled Port passes.
enum class PortState : uint8_t {
  blocked,    ///< nothing (fail closed)
  cleartext,  ///< unprotected; only ever asked for with should-secure
  secured     ///< frames protected with the transmit SA in use, and only validated frames received
};

class SecyPort {
 public:
  virtual ~SecyPort() = default;

  virtual void set_port_state(PortState state) = 0;

  /// A receive SC without SAs. Exists at most once per SCI.
  virtual Result<void> create_receive_sc(Sci sci) = 0;
  /// Deletes its SAs as well.
  virtual void delete_receive_sc(Sci sci) = 0;

  /// A receive SA, not yet in use, with lowest PN 1. The AN is free in this SC.
  virtual Result<void> create_receive_sa(Sci sci, An an, const SaParameters& parameters) = 0;
  virtual Result<void> enable_receive_sa(Sci sci, An an) = 0;
  virtual void delete_receive_sa(Sci sci, An an) = 0;

  /// A transmit SA with nextPN 1, not yet in use. Called once in the life of a SAK: a second SA
  /// would repeat nonces.
  virtual Result<void> create_transmit_sa(An an, const SaParameters& parameters) = 0;
  /// Makes it the encodingSA: all following frames are protected by it.
  virtual Result<void> enable_transmit_sa(An an) = 0;
  virtual void delete_transmit_sa(An an) = 0;

  /// PN the next frame of the transmit SA will have.
  virtual Pn next_pn(An an) = 0;
  /// Lowest acceptable PN of a receive SA.
  virtual Pn lowest_pn(Sci sci, An an) = 0;
  /// Raises the lowest acceptable PN (delay protection, §10.7.15); never lowers it.
  virtual void raise_lowest_pn(Sci sci, An an, Pn pn) = 0;
};

/// What the KaY needs of the world beside frames and the SecY.
class Environment {
 public:
  virtual ~Environment() = default;
  /// Fills with octets of a cryptographic random source. False: none can be had; nothing is
  /// generated then.
  virtual bool random(std::span<uint8_t> out) = 0;
  /// Milliseconds since 1970 UTC, for key lifetimes.
  virtual int64_t wall_clock_ms() = 0;
  /// Sends a complete frame (no FCS) on the uncontrolled port.
  virtual void send(std::span<const uint8_t> frame) = 0;
};

}  // namespace sealwire::mka
