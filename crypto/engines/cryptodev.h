// DPDK crypto devices: QAT or any poll mode driver. Asynchronous: submit() enqueues, poll()
// dequeues.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// One crypto device and how much of it to use.
struct CryptodevConfig {
  /// Name of a device that EAL has probed (a PCI address), or a virtual device to create, with its
  /// arguments, e.g. "crypto_aesni_mb0" or "crypto_openssl1,socket_id=0".
  std::string device;
  /// Engines at once: one for each worker and one for the control thread.
  std::uint16_t queue_pairs = 2;
  /// Operations that one engine may have in the device. A batch that finds no room is answered
  /// `error`, so allow one burst of 64 for each that a worker keeps in flight.
  std::uint16_t operations = 1024;
  /// Sessions for all keys. A key needs one per direction and AAD length (1 to 18; see KeyUse),
  /// with crypto_openssl times queue_pairs, whose sessions cannot be shared by threads.
  std::uint32_t sessions = 1024;
  /// NUMA node, or -1.
  int socket = -1;
};

/// Opens the device for this process and starts it; it is stopped, and removed if created here,
/// when the factory and all its engines and keys are gone. EAL must be up. Its keys serve this
/// factory's engines only. Errors: SW-CRY-070 (no such device or creation failed), SW-CRY-071
/// (crypto_null, which does not encipher), SW-CRY-072 (the device refuses the set-up, or it is in
/// use), SW-CRY-073 (it offers no algorithm of ours). make() answers SW-CRY-074 when all queue
/// pairs are in use.
///
/// Limits, all answered with `error` on the operation: the AAD of an operation with data has one of
/// the lengths that the key was made for, at most 256 octets. How a device compares tags is its own
/// affair: Debian's ipsec_mb drivers use memcmp.
Result<std::unique_ptr<EngineFactory>> make_cryptodev_factory(const CryptodevConfig& config);

}  // namespace sealwire::crypto
