#pragma once

// The configuration as plain structs: what a YAML document means after parsing, checking and
// resolving. Filled only by config/load.h; read by app/control, which turns it into the data path's
// snapshot. Nothing here knows DPDK.
//
// Conventions
//   - Names are the mapping keys of the document. Vectors keep the document's order.
//   - Numbers are host order. Octet strings (keys, salts, CKN) are in wire order.
//   - Times are milliseconds, sizes are octets, limits of 0 mean "no limit" where said so.
//   - `where` is the position of the item's key in the file, 1-based, for later messages.
//   - Secrets make every struct that holds one move-only. Compare with same() of config/diff.h.

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/secret_bytes.h"

namespace sealwire::config {

using Milliseconds = std::chrono::milliseconds;

struct Position {
  int line = 0;    // 1-based; 0: not from a file
  int column = 0;  // 1-based
};

// A key or salt with the place it came from. `source` ("file:/etc/sealwire/a.key", "env:NAME",
// "inline") may be shown; `bytes` never.
struct Secret {
  std::string source;
  crypto::SecretBytes bytes;
  bool given() const { return !source.empty(); }
};

// --- addresses -------------------------------------------------------------------------------

struct MacAddress {
  std::array<std::uint8_t, 6> octets{};
  auto operator<=>(const MacAddress&) const = default;
};

struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> octets{};  // network order; IPv4 uses the first four
  auto operator<=>(const IpAddress&) const = default;
};

// A prefix, or an interface address with its prefix length when the host bits are set.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // bits
  auto operator<=>(const Prefix&) const = default;
};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  auto operator<=>(const PortRange&) const = default;
};

// Where a server of ours listens.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

// --- system ----------------------------------------------------------------------------------

// Either so many cores (lcores empty) or exactly these.
struct Cores {
  std::uint16_t count = 1;              // always the number of cores meant
  std::vector<std::uint16_t> lcores{};  // logical core ids of the host; empty: any
  bool operator==(const Cores&) const = default;
};

enum class Hugepages : std::uint8_t { automatic, off, required };
enum class Idle : std::uint8_t { automatic, spin, sleep };
enum class LogLevel : std::uint8_t { trace, debug, info, warning, error };

struct System {
  Position where{};
  Cores workers{};
  std::optional<std::uint16_t> control_core{};  // lcore of the control thread; unset: any
  Hugepages hugepages = Hugepages::automatic;
  std::uint64_t memory = 0;  // octets of packet and table memory for DPDK; 0: its own choice
  Idle idle = Idle::automatic;
  std::string api_socket = "/run/sealwire/api.sock";
  std::string state_directory = "/var/lib/sealwire";
  bool dpdk_telemetry = true;         // serve the counters on DPDK's telemetry socket too
  std::optional<Endpoint> metrics{};  // serve them to Prometheus there; unset: nowhere
  LogLevel log_level = LogLevel::info;
  bool eal_log = false;                 // let EAL's own messages through
  std::vector<std::string> eal_args{};  // appended to EAL's arguments as they are

  // Positions do not count.
  bool operator==(const System& other) const {
    const auto all = [](const System& s) {
      return std::tie(s.workers, s.control_core, s.hugepages, s.memory, s.idle, s.api_socket,
                      s.state_directory, s.dpdk_telemetry, s.metrics, s.log_level, s.eal_log,
                      s.eal_args);
    };
    return all(*this) == all(other);
  }
};

// --- ports -----------------------------------------------------------------------------------

struct Port {
  std::string name;
  Position where;
  std::string device;           // PCI address "0000:3b:00.0", or a DPDK vdev string "net_tap0,..."
  bool pci = false;             // which of the two
  std::uint16_t mtu = 1500;     // largest layer 3 packet, octets (Ethernet header not counted)
  std::uint16_t rx_queues = 0;  // 0: chosen from the line's workers
  std::uint16_t rx_descriptors = 1024;
  std::uint16_t tx_descriptors = 1024;
  std::optional<MacAddress> mac{};  // set on the device; unset: the device's own
  bool promiscuous = true;          // a wire needs it
};

// --- MACsec ----------------------------------------------------------------------------------

enum class CipherSuite : std::uint8_t {
  gcm_aes_128,
  gcm_aes_256,
  gcm_aes_xpn_128,
  gcm_aes_xpn_256,
};
constexpr bool is_xpn(CipherSuite s) { return s >= CipherSuite::gcm_aes_xpn_128; }
constexpr std::size_t sak_length(CipherSuite s) {  // octets
  return s == CipherSuite::gcm_aes_128 || s == CipherSuite::gcm_aes_xpn_128 ? 16 : 32;
}

enum class ValidateFrames : std::uint8_t { strict, check, disabled };

// One static SAK on one association number. Lab only.
struct MacsecSa {
  std::uint8_t an = 0;  // 0..3
  Position where;
  Secret key;                 // 16 or 32 octets
  Secret salt;                // XPN: 12 octets
  std::uint32_t ssci = 0;     // XPN: 1..
  std::uint64_t next_pn = 1;  // transmit: first PN used; receive: nextPN expected at start
};

struct ReceiveChannel {
  std::string name;
  Position where;
  std::uint64_t sci = 0;  // system identifier << 16 | port identifier
  std::vector<MacsecSa> sas{};
};

struct MkaKey {
  std::string name;
  Position where;
  Secret cak;                           // 16 or 32 octets
  std::vector<std::uint8_t> ckn{};      // 1..32 octets; a name, not a secret
  std::optional<std::int64_t> start{};  // Unix seconds UTC; unset: always
  std::optional<std::int64_t> end{};    // Unix seconds UTC; unset: never
};

enum class MkaPolicy : std::uint8_t { must_secure, should_secure };
enum class CakPadding : std::uint8_t { refuse, right_zero };  // a CAK shorter than 16 or 32 octets

struct Mka {
  Position where;
  std::vector<MkaKey> keys{};      // the key chain, document order
  std::optional<MkaKey> fallback;  // tried when no key of the chain brings the session up
  std::uint8_t priority = 16;      // key server priority, lowest wins, 255 never serves
  std::uint8_t version = 3;        // MKA version sent, 1..3; every version is received
  std::vector<CipherSuite> suites{CipherSuite::gcm_aes_xpn_256, CipherSuite::gcm_aes_256,
                                  CipherSuite::gcm_aes_xpn_128,
                                  CipherSuite::gcm_aes_128};  // preferred first
  MkaPolicy policy = MkaPolicy::must_secure;
  bool delay_protect = false;
  bool icv_indicator = false;  // send parameter set 255 although the ICV has 16 octets
  CakPadding cak_padding = CakPadding::refuse;
  Milliseconds hello{2000};
  Milliseconds bounded_hello{500};  // with delay_protect
  Milliseconds life{6000};
  Milliseconds retire{3000};
  MacAddress eapol_destination{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x03}};
  std::uint16_t eapol_ethertype = 0x888e;
  std::uint64_t rekey_pn = 0;      // PN that starts a SAK rekey; 0: the standard's threshold
  Milliseconds rekey_interval{0};  // SAK rekey by time; 0: never
};

// One SecY: a MACsec entity on one outside port.
struct SecY {
  std::string port;  // name of the outside port
  Position where;
  std::optional<std::uint64_t> sci{};  // ours; unset: the port's MAC || 0001
  std::uint8_t encoding_sa = 0;        // AN of the transmit SA in use
  std::vector<MacsecSa> tx{};          // static transmit SAs
  std::vector<ReceiveChannel> rx{};    // static receive channels
  std::optional<Mka> mka{};            // this SecY's own MKA, instead of Macsec::mka
};

// MACsec of a line. The settings are shared by its SecYs, one per outside port.
struct Macsec {
  Position where;
  CipherSuite suite = CipherSuite::gcm_aes_128;  // of static SAs; MKA negotiates its own
  bool protect_frames = true;
  bool confidentiality = true;              // false: integrity only
  std::uint8_t confidentiality_offset = 0;  // 0, 30, 50 octets
  bool include_sci = true;                  // alwaysIncludeSCI
  bool use_es = false;
  bool use_scb = false;
  ValidateFrames validate_frames = ValidateFrames::strict;
  bool replay_protect = true;
  std::uint32_t replay_window = 0;  // frames; 0: strict order
  bool duplicate_bitmap = false;    // also refuse duplicates inside the window (window <= 16384)
  std::uint8_t vlan_in_clear = 0;   // 0..2 VLAN tags left ahead of the SecTAG
  std::optional<Mka> mka{};
  std::vector<SecY> secys{};  // one per outside port of the line, in that order

  // What is added to a frame, in octets: SecTAG and ICV, and the SCI where it is sent, which
  // several receive channels ask for even if include-sci does not (802.1AE §10.5.3).
  std::uint16_t overhead() const {
    constexpr std::uint16_t kSecTagAndIcv = 24, kSci = 8;
    bool sci = include_sci;
    for (const SecY& secy : secys) sci |= secy.rx.size() > 1 && !use_es && !use_scb;
    return sci ? kSecTagAndIcv + kSci : kSecTagAndIcv;
  }
};

// --- ESP and the gateway -----------------------------------------------------------------------

enum class SaDirection : std::uint8_t { in, out };
enum class DfMode : std::uint8_t { copy, set, clear };
enum class EcnMode : std::uint8_t { normal, compatibility };  // RFC 6040 §4.1

// What a packet looks like. Empty vectors and unset values match anything. Source and destination
// are those of the packet as it travels in the rule's direction.
struct Selector {
  std::vector<Prefix> source{};
  std::vector<Prefix> destination{};
  std::optional<std::uint8_t> protocol{};  // IP protocol number
  std::vector<PortRange> source_ports{};
  std::vector<PortRange> destination_ports{};
  bool operator==(const Selector&) const = default;
};

struct Lifetime {  // 0: no limit. Soft asks for a rekey, hard stops the SA.
  std::uint64_t soft_octets = 0;
  std::uint64_t hard_octets = 0;
  std::uint64_t soft_packets = 0;
  std::uint64_t hard_packets = 0;
  Milliseconds soft_time{0};  // since the SA was installed
  Milliseconds hard_time{0};
  bool operator==(const Lifetime&) const = default;
};

struct UdpEncapsulation {  // RFC 3948
  std::uint16_t source_port = 4500;
  std::uint16_t destination_port = 4500;
  Milliseconds keepalive{20000};  // outbound: after so long without traffic; 0: never
  bool operator==(const UdpEncapsulation&) const = default;
};

// One static ESP SA in tunnel mode.
struct EspSa {
  std::string name;
  Position where;
  SaDirection direction = SaDirection::out;
  std::uint32_t spi = 0;  // >= 256
  crypto::Algorithm algorithm = crypto::Algorithm::aes_gcm_128;
  Secret key;        // cipher key || authentication key, without the salt
  Secret salt;       // 4 octets for GCM, GMAC and ChaCha20-Poly1305: split off the end of KEYMAT
  IpAddress source;  // outer addresses, as on the wire
  IpAddress destination;
  bool esn = false;
  std::uint64_t next_sn = 1;         // outbound: first sequence number used
  std::uint32_t replay_window = 64;  // inbound: 0 (off), 32..16384
  std::optional<UdpEncapsulation> udp{};
  std::optional<std::uint8_t> dscp{};  // outer DSCP 0..63; unset: copied from the inner packet
  EcnMode ecn = EcnMode::normal;
  DfMode df = DfMode::copy;
  std::uint8_t ttl = 64;       // outer TTL or hop limit
  std::uint16_t path_mtu = 0;  // largest outer packet on the path, octets; 0: the port's MTU
  Lifetime lifetime{};
  // Inbound: what decrypted packets must look like, any of these. Given, or else taken (mirrored)
  // from the policies that name this SA as inbound-sa; never empty for an inbound SA.
  std::vector<Selector> selectors{};
};

enum class Action : std::uint8_t { protect, bypass, discard };
enum class PolicyDirection : std::uint8_t { both, out, in };

// One SPD rule; the first that matches decides, the last word is discard. With direction `both` the
// selector is written for outbound and holds mirrored (source and destination swapped) for inbound.
struct Policy {
  std::string name;
  Position where;
  Action action = Action::discard;
  PolicyDirection direction = PolicyDirection::both;
  Selector selector{};
  std::vector<std::string> sa{};  // protect: outbound SAs; several: one per worker (RFC 9611)
  std::vector<std::string> inbound_sa{};  // protect: inbound SAs that may carry the way back
  bool cleartext = false;                 // bypass: `cleartext: allow` on the rule
};

struct Route {
  Prefix destination;
  Position where;
  IpAddress via;
  std::string port;
};

struct PortAddresses {
  std::string port;
  Position where;
  std::vector<Prefix> addresses{};  // host address with prefix length
};

struct Neighbour {  // static, instead of ARP or ND
  IpAddress address;
  Position where;
  MacAddress mac;
  std::string port;
};

struct Gateway {
  std::vector<PortAddresses> addresses{};
  std::vector<Route> routes{};
  std::vector<Neighbour> neighbours{};
};

// --- lines -----------------------------------------------------------------------------------

enum class EngineKind : std::uint8_t { automatic, ipsec_mb, openssl, cryptodev };

struct Engine {
  EngineKind kind = EngineKind::automatic;
  std::string device;  // cryptodev: vdev string or PCI address
  bool operator==(const Engine&) const = default;
};

enum class WorkerMode : std::uint8_t { automatic, alone, in_turn };

struct LineWorkers {
  WorkerMode mode = WorkerMode::automatic;  // automatic: alone for one core, else in turn
  Cores egress{};
  Cores ingress{};
  bool operator==(const LineWorkers&) const = default;
};

enum class LinkSpeed : std::uint8_t { unknown, g1, g10, g25, g100, g400 };

enum class Stage : std::uint8_t { esp, macsec };

struct Line {
  std::string name;
  Position where;
  std::vector<Stage> stages{};  // egress order
  std::vector<std::string> inside{};
  std::vector<std::string> outside{};
  bool cleartext = false;  // `cleartext: allow`
  Engine engine{};
  LineWorkers workers{};
  std::string profile;  // name of the profile whose defaults were used, or empty
  LinkSpeed link_speed = LinkSpeed::unknown;
  std::optional<Macsec> macsec{};  // exactly with stage macsec
  std::vector<EspSa> sas{};        // exactly with stage esp (esp.sas)
  std::vector<Policy> policies{};  // esp.policies
  Gateway gateway{};               // with stage esp

  bool has(Stage s) const { return std::find(stages.begin(), stages.end(), s) != stages.end(); }
  bool is_gateway() const { return has(Stage::esp); }
};

inline constexpr std::size_t kMostPorts = 32;  // RTE_MAX_ETHPORTS of DPDK as it comes

struct Document {
  std::uint32_t version = 1;  // `sealwire: 1`
  bool lab = false;           // static keys and inline secrets are allowed
  System system{};
  std::vector<Port> ports{};
  std::vector<Line> lines{};
};

// The item of that name, or nullptr.
template <class T>
const T* find(const std::vector<T>& items, std::string_view name) {
  for (const T& item : items)
    if (item.name == name) return &item;
  return nullptr;
}

// The MKA that a SecY runs: its own, else the line's, else nullptr (static SAs).
inline const Mka* mka_of(const Macsec& macsec, const SecY& secy) {
  if (secy.mka) return &*secy.mka;
  return macsec.mka ? &*macsec.mka : nullptr;
}

}  // namespace sealwire::config
