#include "config/descriptor.h"

#include "config/profiles.h"
#include "config/reader.h"

namespace sealwire::config {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kDay = 24h;
constexpr Milliseconds kLongestLifetime = 3650 * 24h;

// --- system ------------------------------------------------------------------------------------

const Scalar<std::uint16_t>& lcore() {
  static const auto type = scalar::number<std::uint16_t>(0, 1023);
  return type;
}

// "cores: 2" or "cores: [1, 2]"
template <class S, class Get>
std::function<void(ReadContext&, S&, const NodeEntry&)> read_cores(Get get) {
  return [get](ReadContext& context, S& target, const NodeEntry& entry) {
    Cores& cores = std::invoke(get, target);
    if (entry.value.is_sequence()) {
      cores.lcores = read_list(context, lcore(), entry);
      cores.count = static_cast<std::uint16_t>(cores.lcores.size());
      if (entry.value.items.empty())
        context.report.add(Rule::bad_value, entry.value.position, context.path, "the list is empty",
                           "at least one core");
      return;
    }
    static const auto count = scalar::number<std::uint16_t>(1, 128);
    if (!entry.value.is_scalar())
      return report_wrong_type(context, entry, "a number of cores or a list of lcore ids");
    if (const auto value = read_scalar(context, count, entry)) cores.count = *value;
  };
}

Json cores_schema() {
  return Json{{"anyOf", Json::array({Json{{"type", "integer"}, {"minimum", 1}, {"maximum", 128}},
                                     Json{{"type", "array"}, {"items", lcore().schema}}})}};
}

constexpr const char* kCoresType = "number 1..128, or list of lcore ids";

const MapType& system_type() {
  static const MapType type =
      Fields<System>("system", "What the daemon as a whole uses.")
          .custom("workers", kCoresType, "1", cores_schema(),
                  "Cores that forward packets: so many, or exactly these.",
                  read_cores<System>(&System::workers))
          .value("control-core", &System::control_core, lcore(),
                 "Core of the control thread; by default any other than the workers'.")
          .value("hugepages", &System::hugepages,
                 scalar::choice<Hugepages>({{"auto", Hugepages::automatic},
                                            {"never", Hugepages::off},
                                            {"required", Hugepages::required}}),
                 "Whether packet memory is in hugepages: if there are some, never, or else refuse "
                 "to start.")
          .value("memory", &System::memory, scalar::size(),
                 "Packet and table memory to reserve; 0 leaves it to DPDK.")
          .value("idle", &System::idle,
                 scalar::choice<Idle>(
                     {{"auto", Idle::automatic}, {"spin", Idle::spin}, {"sleep", Idle::sleep}}),
                 "What a worker does when nothing arrives. `spin` has the least latency and uses "
                 "the whole core.")
          .value("api-socket", &System::api_socket, scalar::text("path", "a path"),
                 "Unix socket of the local API, used by `sealwire show` and others.")
          .value("state-directory", &System::state_directory, scalar::text("path", "a path"),
                 "Where packet number reservations are kept, and what `auto` found about the "
                 "crypto; made by `sealwire state init`.")
          .value("dpdk-telemetry", &System::dpdk_telemetry, scalar::boolean(),
                 "Serve the counters on DPDK's telemetry socket too.")
          .value("metrics", &System::metrics, scalar::endpoint(),
                 "Serve the counters to Prometheus over HTTP there, unencrypted and to everybody "
                 "who gets there (`/metrics`); by default nowhere.")
          .value("log-level", &System::log_level,
                 scalar::choice<LogLevel>({{"trace", LogLevel::trace},
                                           {"debug", LogLevel::debug},
                                           {"info", LogLevel::info},
                                           {"warning", LogLevel::warning},
                                           {"error", LogLevel::error}}),
                 "The least severe messages that are logged.")
          .value("eal-log", &System::eal_log, scalar::boolean(),
                 "Let the messages of DPDK's EAL through.")
          .list("eal-args", &System::eal_args, scalar::text("argument", "an argument"),
                "Arguments for EAL, appended as they are.")
          .build();
  return type;
}

// --- ports -------------------------------------------------------------------------------------

const MapType& port_type() {
  static const MapType type =
      Fields<Port>("port", "A DPDK device.")
          .value("device", &Port::device,
                 scalar::text("PCI address or vdev string",
                              "a PCI address such as 0000:3b:00.0, or a virtual device such as "
                              "net_tap0,iface=tap0"),
                 "The device: a PCI address, or a DPDK virtual device with its arguments "
                 "(net_ring, net_null, net_pcap, net_memif, net_af_packet, net_tap, "
                 "net_virtio_user, net_vhost).",
                 kRequired)
          .value("mtu", &Port::mtu, scalar::number<std::uint16_t>(68, 9600),
                 "Largest Ethernet payload in octets. Outside, this includes the SecTAG and ICV, "
                 "and VLAN tags that are sealed.")
          .value("mac", &Port::mac, scalar::mac(),
                 "MAC address to set; by default the device keeps its own.")
          .value("rx-queues", &Port::rx_queues, scalar::number<std::uint16_t>(0, 64),
                 "Receive queues; 0 chooses from the line's workers.")
          .value("rx-descriptors", &Port::rx_descriptors, scalar::number<std::uint16_t>(64, 16384),
                 "Length of a receive queue.")
          .value("tx-descriptors", &Port::tx_descriptors, scalar::number<std::uint16_t>(64, 16384),
                 "Length of a transmit queue.")
          .value("promiscuous", &Port::promiscuous, scalar::boolean(),
                 "Receive frames to every MAC address; a wire needs it.")
          .build();
  return type;
}

// --- MACsec ------------------------------------------------------------------------------------

const Scalar<CipherSuite>& cipher_suite() {
  static const auto type =
      scalar::choice<CipherSuite>({{"gcm-aes-128", CipherSuite::gcm_aes_128},
                                   {"gcm-aes-256", CipherSuite::gcm_aes_256},
                                   {"gcm-aes-xpn-128", CipherSuite::gcm_aes_xpn_128},
                                   {"gcm-aes-xpn-256", CipherSuite::gcm_aes_xpn_256}});
  return type;
}

const MapType& macsec_sa_type() {
  static const MapType type =
      Fields<MacsecSa>("macsec-sa", "One static SA, under its association number.")
          .secret("key", &MacsecSa::key, "The SAK: 16 or 32 octets, by the suite.", kRequired)
          .secret("salt", &MacsecSa::salt, "XPN: 12 octets, the same at both ends.")
          .value("ssci", &MacsecSa::ssci, scalar::number<std::uint32_t>(1),
                 "XPN: the short SCI of the channel's transmitter.")
          .value("next-pn", &MacsecSa::next_pn, scalar::number<std::uint64_t>(0),
                 "First packet number sent, or lowest accepted.")
          .build();
  return type;
}

const KeyOf<MacsecSa>& by_an() {
  static const KeyOf<MacsecSa> key{"AN 0..3", "an association number from 0 to 3", "^[0-3]$",
                                   [](MacsecSa& sa, const std::string& text) {
                                     const auto an = parse_number(text);
                                     if (text.size() != 1 || !an || *an > 3) return false;
                                     sa.an = static_cast<std::uint8_t>(*an);
                                     return true;
                                   }};
  return key;
}

const MapType& macsec_tx_type() {
  static const MapType type =
      Fields<SecY>("macsec-tx", "The transmit channel with static SAs.")
          .value("encoding-sa", &SecY::encoding_sa, scalar::number<std::uint8_t>(0, 3),
                 "AN of the SA that frames are sent with.")
          .named("sas", &SecY::tx, by_an(), macsec_sa_type(), "The SAs by AN.", kRequired)
          .build();
  return type;
}

const MapType& receive_channel_type() {
  static const MapType type =
      Fields<ReceiveChannel>("macsec-rx", "A receive channel with static SAs.")
          .value("sci", &ReceiveChannel::sci, scalar::sci(), "SCI of the peer.", kRequired)
          .named("sas", &ReceiveChannel::sas, by_an(), macsec_sa_type(), "The SAs by AN.",
                 kRequired)
          .build();
  return type;
}

const MapType& mka_key_type() {
  static const MapType type =
      Fields<MkaKey>("mka-key", "A connectivity association key with its name.")
          .secret("cak", &MkaKey::cak, "The CAK: 16 or 32 octets.", kRequired)
          .value("ckn", &MkaKey::ckn, scalar::hex(1, 32), "The CAK's name, as both ends have it.",
                 kRequired)
          .value("start", &MkaKey::start, scalar::time(), "Not used before; by default at once.")
          .value("end", &MkaKey::end, scalar::time(), "Not used after; by default for ever.")
          .build();
  return type;
}

const MapType& mka_timers_type() {
  static const MapType type =
      Fields<Mka>("mka-timers", "IEEE 802.1X-2020 Table 9-3.")
          .value("hello", &Mka::hello, scalar::duration(100ms, 60s), "Between MKPDUs.")
          .value("bounded-hello", &Mka::bounded_hello, scalar::duration(50ms, 60s),
                 "The same with delay protection.")
          .value("life", &Mka::life, scalar::duration(200ms, 600s),
                 "A peer not heard for so long is gone.")
          .value("retire", &Mka::retire, scalar::duration(100ms, 600s),
                 "An old SAK is kept for so long.")
          .build();
  return type;
}

const MapType& mka_rekey_type() {
  static const MapType type =
      Fields<Mka>("mka-rekey", "When a fresh SAK is made.")
          .value("pn-threshold", &Mka::rekey_pn, scalar::number<std::uint64_t>(0),
                 "At this packet number; 0 is the standard's: 0xC0000000, XPN "
                 "0xC000000000000000.")
          .value("interval", &Mka::rekey_interval, scalar::duration(0ms, 365 * kDay),
                 "At this age; 0 is never.")
          .build();
  return type;
}

const MapType& mka_eapol_type() {
  static const MapType type =
      Fields<Mka>("mka-eapol", "For carriers that do not pass plain EAPOL.")
          .value("destination", &Mka::eapol_destination, scalar::mac(),
                 "Destination address of MKPDUs.")
          .value("ethertype", &Mka::eapol_ethertype, scalar::number<std::uint16_t>(0x600, 0xffff),
                 "EtherType of MKPDUs; 34958 is 0x888E.")
          .build();
  return type;
}

const MapType& mka_type() {
  static const MapType type =
      Fields<Mka>("mka", "MACsec Key Agreement (IEEE 802.1X-2020) with pre-shared CAKs.")
          .prepare([](ReadContext& context, Mka& mka, const Node&) {
            if (const Profile* profile = find_profile(context.profile))
              profile->mka_defaults(mka, context.link_speed);
          })
          .named("keys", &Mka::keys, by_name<MkaKey>(), mka_key_type(),
                 "The key chain; of the keys valid now, the one that started last is used.",
                 kRequired)
          .map("fallback", &Mka::fallback, mka_key_type(),
               "Key used while no key of the chain brings the session up.")
          .value("priority", &Mka::priority, scalar::number<std::uint8_t>(0, 255),
                 "Key server priority: the lowest wins, 255 never serves.")
          .value("version", &Mka::version, scalar::number<std::uint8_t>(1, 3),
                 "MKA version sent; all are received.")
          .list("suites", &Mka::suites, cipher_suite(), "Cipher suites, preferred first.")
          .value("policy", &Mka::policy,
                 scalar::choice<MkaPolicy>({{"must-secure", MkaPolicy::must_secure},
                                            {"should-secure", MkaPolicy::should_secure}}),
                 "What happens without a session: nothing passes, or traffic passes in clear.")
          .value("delay-protect", &Mka::delay_protect, scalar::boolean(),
                 "Refuse frames delayed by more than two seconds.")
          .value("icv-indicator", &Mka::icv_indicator, scalar::boolean(),
                 "Send the ICV indicator, for peers that need it.")
          .value("cak-padding", &Mka::cak_padding,
                 scalar::choice<CakPadding>(
                     {{"refuse", CakPadding::refuse}, {"right-zero", CakPadding::right_zero}}),
                 "What to do with a CAK shorter than 16 or 32 octets; some clouds fill it with "
                 "zeroes on the right.")
          .map(
              "timers", [](Mka& m) -> Mka& { return m; }, mka_timers_type(), "MKA's timers.")
          .map(
              "rekey", [](Mka& m) -> Mka& { return m; }, mka_rekey_type(),
              "When a fresh SAK is made.")
          .map(
              "eapol", [](Mka& m) -> Mka& { return m; }, mka_eapol_type(),
              "How MKPDUs are addressed.")
          .build();
  return type;
}

constexpr const char* kSciDoc =
    "Our SCI as MAC/port; with MKA by default the port's MAC and 1. Virtual devices may share "
    "MACs: "
    "give it.";

KeyOf<SecY> by_outside_port() {
  return {"outside port", "the name of a port", kNamePattern,
          [](SecY& secy, const std::string& key) {
            secy.port = key;
            return valid_name(key);
          }};
}

}  // namespace

const MapType& secy_type() {
  static const MapType type =
      Fields<SecY>("secy", "What differs from one outside port to the next.")
          .value("sci", &SecY::sci, scalar::sci(), kSciDoc)
          .map(
              "tx", [](SecY& s) -> SecY& { return s; }, macsec_tx_type(), "Static transmit SAs.")
          .named("rx", &SecY::rx, by_name<ReceiveChannel>(), receive_channel_type(),
                 "Static receive channels.")
          .map("mka", &SecY::mka, mka_type(), "This port's own MKA, instead of the line's.")
          .build();
  return type;
}

namespace {

// The short form: a line with one outside port gives its SecY's keys in the section itself.
SecY& only_secy(Macsec& macsec) {
  if (macsec.secys.empty() || !macsec.secys.front().port.empty())
    macsec.secys.insert(macsec.secys.begin(), SecY{});
  return macsec.secys.front();
}

const MapType& macsec_type() {
  static const MapType type =
      Fields<Macsec>("macsec", "MACsec (IEEE 802.1AE-2018) on the line's outside ports.")
          .prepare([](ReadContext& context, Macsec& macsec, const Node&) {
            if (const Profile* profile = find_profile(context.profile))
              profile->macsec_defaults(macsec);
          })
          .value("suite", &Macsec::suite, cipher_suite(),
                 "Cipher suite of static SAs; MKA negotiates its own.")
          .value("protect-frames", &Macsec::protect_frames, scalar::boolean(),
                 "protectFrames: send SecTAGs at all.")
          .value("confidentiality", &Macsec::confidentiality, scalar::boolean(),
                 "Encrypt; false only authenticates.")
          .value(
              "confidentiality-offset", &Macsec::confidentiality_offset,
              [] {
                Scalar<std::uint8_t> offset = scalar::number<std::uint8_t>(0, 50);
                offset.type = "`0`, `30`, `50`";
                offset.expected = "0, 30 or 50";
                offset.schema = Json{{"enum", Json::array({0, 30, 50})}};
                offset.parse = [](const Node& n) -> std::optional<std::uint8_t> {
                  if (n.quoted) return std::nullopt;
                  if (n.text == "0") return std::uint8_t{0};
                  if (n.text == "30") return std::uint8_t{30};
                  if (n.text == "50") return std::uint8_t{50};
                  return std::nullopt;
                };
                return offset;
              }(),
              "First octets of a frame that stay readable, though authenticated.")
          .value("include-sci", &Macsec::include_sci, scalar::boolean(),
                 "alwaysIncludeSCI: send the SCI in every SecTAG.")
          .value("use-es", &Macsec::use_es, scalar::boolean(),
                 "useES: the peer takes the SCI from the source address.")
          .value("use-scb", &Macsec::use_scb, scalar::boolean(), "useSCB: single copy broadcast.")
          .value("validate-frames", &Macsec::validate_frames,
                 scalar::choice<ValidateFrames>({{"strict", ValidateFrames::strict},
                                                 {"check", ValidateFrames::check},
                                                 {"disabled", ValidateFrames::disabled}}),
                 "validateFrames: drop what does not verify, count it only, or do not look.")
          .value("replay-protect", &Macsec::replay_protect, scalar::boolean(),
                 "replayProtect: drop late frames.")
          .value("replay-window", &Macsec::replay_window, scalar::number<std::uint32_t>(0),
                 "Frames that may come late by reordering; 0 is strict order.")
          .value("duplicate-bitmap", &Macsec::duplicate_bitmap, scalar::boolean(),
                 "Refuse duplicates inside the window too, which the standard does not.")
          .value("vlan-in-clear", &Macsec::vlan_in_clear, scalar::number<std::uint8_t>(0, 2),
                 "VLAN tags left readable and unprotected ahead of the SecTAG.")
          .value(
              "sci", [](Macsec& m) -> std::optional<std::uint64_t>& { return only_secy(m).sci; },
              scalar::sci(), kSciDoc)
          .map("tx", only_secy, macsec_tx_type(), "Static transmit SAs. Lab only.")
          .named(
              "rx", [](Macsec& m) -> std::vector<ReceiveChannel>& { return only_secy(m).rx; },
              by_name<ReceiveChannel>(), receive_channel_type(),
              "Static receive channels. Lab only.")
          .map("mka", &Macsec::mka, mka_type(), "Agree on keys; the way outside a lab.")
          .named("secys", &Macsec::secys, by_outside_port(), secy_type(),
                 "For lines with several outside ports: sci, tx, rx and mka of each.")
          .build();
  return type;
}

// --- ESP ---------------------------------------------------------------------------------------

template <class S, class Get>
Fields<S>& selector_fields(Fields<S>& fields, Get get) {
  return fields
      .list(
          "source", [get](S & s) -> auto& { return std::invoke(get, s).source; }, scalar::prefix(),
          "Source prefixes; none is any.")
      .list(
          "destination", [get](S & s) -> auto& { return std::invoke(get, s).destination; },
          scalar::prefix(), "Destination prefixes; none is any.")
      .value(
          "protocol", [get](S & s) -> auto& { return std::invoke(get, s).protocol; },
          scalar::protocol(), "IP protocol; none is any.")
      .list(
          "source-ports", [get](S & s) -> auto& { return std::invoke(get, s).source_ports; },
          scalar::port_range(), "Source ports, with a protocol that has them.")
      .list(
          "destination-ports",
          [get](S & s) -> auto& { return std::invoke(get, s).destination_ports; },
          scalar::port_range(), "Destination ports.");
}

const MapType& selector_type() {
  static const MapType type = [] {
    Fields<Selector> fields("selector", "What a packet looks like.");
    return selector_fields(fields, [](Selector& s) -> Selector& { return s; }).build();
  }();
  return type;
}

const MapType& lifetime_type() {
  static const auto time = scalar::duration(0ms, kLongestLifetime);
  static const auto packets = scalar::number<std::uint64_t>(0);
  static const MapType type =
      Fields<Lifetime>("lifetime", "Limits of an SA; 0 is no limit.")
          .value("soft-bytes", &Lifetime::soft_octets, scalar::size(), "Ask for a rekey after.")
          .value("hard-bytes", &Lifetime::hard_octets, scalar::size(), "Stop the SA after.")
          .value("soft-packets", &Lifetime::soft_packets, packets, "Ask for a rekey after.")
          .value("hard-packets", &Lifetime::hard_packets, packets, "Stop the SA after.")
          .value("soft-time", &Lifetime::soft_time, time, "Ask for a rekey after.")
          .value("hard-time", &Lifetime::hard_time, time, "Stop the SA after.")
          .build();
  return type;
}

const MapType& udp_type() {
  static const MapType type =
      Fields<UdpEncapsulation>("udp-encapsulation", "ESP in UDP (RFC 3948).")
          .value("source-port", &UdpEncapsulation::source_port, scalar::number<std::uint16_t>(1),
                 "Outer UDP source port.")
          .value("destination-port", &UdpEncapsulation::destination_port,
                 scalar::number<std::uint16_t>(1), "Outer UDP destination port.")
          .value("keepalive", &UdpEncapsulation::keepalive, scalar::duration(0ms, kDay),
                 "Outbound: send a keepalive after so long without traffic; 0 is never.")
          .build();
  return type;
}

const Scalar<crypto::Algorithm>& algorithm() {
  static const auto type = [] {
    std::vector<std::pair<std::string_view, crypto::Algorithm>> names;
    for (const crypto::AlgorithmInfo& info : crypto::all_algorithms())
      names.emplace_back(info.name, info.algorithm);
    return scalar::choice<crypto::Algorithm>(names);
  }();
  return type;
}

const MapType& esp_sa_type() {
  static const MapType type =
      Fields<EspSa>("esp-sa", "One static ESP SA in tunnel mode. Lab only.")
          .value("direction", &EspSa::direction,
                 scalar::choice<SaDirection>({{"in", SaDirection::in}, {"out", SaDirection::out}}),
                 "Inbound or outbound.", kRequired)
          .value("spi", &EspSa::spi, scalar::number<std::uint32_t>(0), "The SPI, from 256.",
                 kRequired)
          .value("algorithm", &EspSa::algorithm, algorithm(), "Cipher and integrity.", kRequired)
          .secret("key", &EspSa::key,
                  "KEYMAT as for `ip xfrm`: cipher key, then authentication key, then salt.",
                  kRequired)
          .secret("salt", &EspSa::salt,
                  "The salt alone, 4 octets, if it is not at the end of the key.")
          .value("source", &EspSa::source, scalar::ip(), "Outer source address, as on the wire.",
                 kRequired)
          .value("destination", &EspSa::destination, scalar::ip(), "Outer destination address.",
                 kRequired)
          .value("esn", &EspSa::esn, scalar::boolean(), "Extended (64-bit) sequence numbers.")
          .value("replay-window", &EspSa::replay_window, scalar::number<std::uint32_t>(0),
                 "Inbound: packets that may come late; 0 (off) or a multiple of 32 up to 16384.")
          .map("udp-encapsulation", &EspSa::udp, udp_type(), "Put ESP in UDP, for NAT.")
          .value("dscp", &EspSa::dscp, scalar::number_or<std::uint8_t>("copy", 0, 63),
                 "Outer DSCP: the inner one's copy, or this.")
          .value("ecn", &EspSa::ecn,
                 scalar::choice<EcnMode>(
                     {{"normal", EcnMode::normal}, {"compatibility", EcnMode::compatibility}}),
                 "RFC 6040 mode: copy the inner ECN outside, or send Not-ECT.")
          .value("df", &EspSa::df,
                 scalar::choice<DfMode>(
                     {{"copy", DfMode::copy}, {"set", DfMode::set}, {"clear", DfMode::clear}}),
                 "Outer Don't Fragment of IPv4.")
          .value("ttl", &EspSa::ttl, scalar::number<std::uint8_t>(1), "Outer TTL or hop limit.")
          .value("next-sn", &EspSa::next_sn, scalar::number<std::uint64_t>(0),
                 "Outbound: first sequence number sent; never one that was used before.")
          .value("path-mtu", &EspSa::path_mtu, scalar::number<std::uint16_t>(0, 9600),
                 "Largest outer packet on the path; 0 is the port's mtu.")
          .map("lifetime", &EspSa::lifetime, lifetime_type(), "Limits.")
          .maps("selectors", &EspSa::selectors, selector_type(),
                "Inbound: decrypted packets must match one; by default the policies' that name "
                "this SA.")
          .build();
  return type;
}

const MapType& policy_type() {
  static const MapType type = [] {
    Fields<Policy> fields("policy", "One SPD rule.");
    fields
        .value("action", &Policy::action,
               scalar::choice<Action>({{"protect", Action::protect},
                                       {"bypass", Action::bypass},
                                       {"discard", Action::discard}}),
               "Seal, let through in clear, or drop.", kRequired)
        .value("direction", &Policy::direction,
               scalar::choice<PolicyDirection>({{"both", PolicyDirection::both},
                                                {"out", PolicyDirection::out},
                                                {"in", PolicyDirection::in}}),
               "`both`: written for outbound, and mirrored for inbound.")
        .list("sa", &Policy::sa, scalar::text("SA name", "the name of an SA"),
              "protect: outbound SAs; several share the traffic, one for each worker (RFC 9611).")
        .list("inbound-sa", &Policy::inbound_sa, scalar::text("SA name", "the name of an SA"),
              "protect: inbound SAs that carry the way back.");
    return selector_fields(fields, &Policy::selector)
        .value("cleartext", &Policy::cleartext,
               scalar::choice<bool>({{"deny", false}, {"allow", true}}),
               "bypass: clear traffic is meant, although no MACsec is around it.")
        .build();
  }();
  return type;
}

}  // namespace

const MapType& esp_type() {
  static const MapType type =
      Fields<Line>("esp", "IPsec ESP in tunnel mode (RFC 4303).")
          .named("sas", &Line::sas, by_name<EspSa>(), esp_sa_type(), "Static SAs.")
          .named("policies", &Line::policies, by_name<Policy>(), policy_type(),
                 "The SPD: in this order, the first that matches decides; else discard.", kRequired)
          .build();
  return type;
}

namespace {

// --- gateway -----------------------------------------------------------------------------------

const MapType& route_type() {
  static const MapType type =
      Fields<Route>("route", "A next hop, under the destination prefix.")
          .value("via", &Route::via, scalar::ip(), "Address of the next hop.", kRequired)
          .value("port", &Route::port, scalar::text("port name", "the name of a port"),
                 "Port behind which it is.", kRequired)
          .build();
  return type;
}

const MapType& neighbour_type() {
  static const MapType type =
      Fields<Neighbour>("neighbour", "A static neighbour, under its address.")
          .value("mac", &Neighbour::mac, scalar::mac(), "Its MAC address.", kRequired)
          .value("port", &Neighbour::port, scalar::text("port name", "the name of a port"),
                 "Port behind which it is.", kRequired)
          .build();
  return type;
}

void read_addresses(ReadContext& context, Gateway& gateway, const NodeEntry& entry) {
  static const auto address = scalar::interface_address();
  if (!entry.value.is_mapping()) return report_wrong_type(context, entry, "a mapping by port name");
  for (const NodeEntry* each : distinct_entries(context, entry.value)) {
    const PathScope scope(context, each->key);
    gateway.addresses.push_back({each->key, each->position, read_list(context, address, *each)});
  }
}

const MapType& gateway_type() {
  static const MapType type =
      Fields<Gateway>("gateway", "Addresses and next hops of a line with esp.")
          .custom("addresses", "mapping from port to list of addresses with prefix length", "",
                  Json{{"type", "object"},
                       {"additionalProperties", list_schema(scalar::interface_address().schema)}},
                  "Our addresses on each port of the line.", read_addresses)
          .named("routes", &Gateway::routes,
                 KeyOf<Route>{"destination prefix", "a prefix such as 10.1.0.0/16",
                              "^[0-9a-fA-F.:]+(/[0-9]+)?$",
                              [](Route& route, const std::string& key) {
                                const auto prefix = parse_prefix(key);
                                if (prefix) route.destination = *prefix;
                                return prefix.has_value();
                              }},
                 route_type(), "Next hops by destination prefix.")
          .named("neighbours", &Gateway::neighbours,
                 KeyOf<Neighbour>{"address", "an IPv4 or IPv6 address", "^[0-9a-fA-F.:]+$",
                                  [](Neighbour& neighbour, const std::string& key) {
                                    const auto address = parse_ip(key);
                                    if (address) neighbour.address = *address;
                                    return address.has_value();
                                  }},
                 neighbour_type(), "Static neighbours, instead of ARP and ND.")
          .build();
  return type;
}

// --- lines -------------------------------------------------------------------------------------

const MapType& line_workers_type() {
  static const MapType type =
      Fields<LineWorkers>("line-workers", "How a line's packets are spread over workers.")
          .value("mode", &LineWorkers::mode,
                 scalar::choice<WorkerMode>({{"auto", WorkerMode::automatic},
                                             {"alone", WorkerMode::alone},
                                             {"in-turn", WorkerMode::in_turn}}),
                 "One worker for a direction, or several that take turns in wire order; `auto` "
                 "goes by the number of cores.")
          .custom("egress", kCoresType, "1", cores_schema(), "Workers from inside to outside.",
                  read_cores<LineWorkers>(&LineWorkers::egress))
          .custom("ingress", kCoresType, "1", cores_schema(), "Workers from outside to inside.",
                  read_cores<LineWorkers>(&LineWorkers::ingress))
          .build();
  return type;
}

Scalar<Engine> engine() {
  Scalar<Engine> result;
  result.type = "`auto`, `ipsec-mb`, `openssl`, `cryptodev:DEVICE`";
  result.expected = "one of auto, ipsec-mb, openssl, cryptodev:DEVICE";
  result.schema =
      Json{{"anyOf", Json::array({Json{{"enum", {"auto", "ipsec-mb", "openssl"}}},
                                  Json{{"type", "string"}, {"pattern", "^cryptodev:.+$"}}})}};
  result.choices = {"auto", "ipsec-mb", "openssl", "cryptodev:"};
  result.parse = [](const Node& n) -> std::optional<Engine> {
    constexpr std::string_view kCryptodev = "cryptodev:";
    if (n.text == "auto") return Engine{};
    if (n.text == "ipsec-mb") return Engine{EngineKind::ipsec_mb, {}};
    if (n.text == "openssl") return Engine{EngineKind::openssl, {}};
    if (n.text.starts_with(kCryptodev))
      return Engine{EngineKind::cryptodev, n.text.substr(kCryptodev.size())};
    return std::nullopt;
  };
  result.show = [](const Engine&) { return std::string("auto"); };
  return result;
}

const Scalar<std::string>& port_name() {
  static const auto type = scalar::text("port name", "the name of a port");
  return type;
}

const Scalar<LinkSpeed>& link_speed() {
  static const auto type = scalar::choice<LinkSpeed>({{"unknown", LinkSpeed::unknown},
                                                      {"1G", LinkSpeed::g1},
                                                      {"10G", LinkSpeed::g10},
                                                      {"25G", LinkSpeed::g25},
                                                      {"100G", LinkSpeed::g100},
                                                      {"400G", LinkSpeed::g400}});
  return type;
}

const MapType& line_type() {
  static const MapType type =
      Fields<Line>("line", "Joins inside and outside ports by its stages.")
          .prepare([](ReadContext& context, Line&, const Node& node) {
            const NodeEntry* profile = node.find("profile");
            context.profile =
                profile != nullptr && profile->value.is_scalar() ? profile->value.text : "";
            const NodeEntry* speed = node.find("link-speed");
            context.link_speed = LinkSpeed::unknown;
            if (speed != nullptr && speed->value.is_scalar())
              context.link_speed = link_speed().parse(speed->value).value_or(LinkSpeed::unknown);
          })
          .list("stages", &Line::stages,
                scalar::choice<Stage>({{"esp", Stage::esp}, {"macsec", Stage::macsec}}),
                "What is done on the way out, in order: [esp, macsec], [esp], [macsec], or [] for "
                "a clear line.",
                kRequired)
          .list("inside", &Line::inside, port_name(), "Ports towards the site.", kRequired)
          .list("outside", &Line::outside, port_name(), "Ports towards the far end.", kRequired)
          .value("cleartext", &Line::cleartext,
                 scalar::choice<bool>({{"deny", false}, {"allow", true}}),
                 "Whether unsealed traffic may pass where other settings would let it.")
          .value("profile", &Line::profile, profile_name(),
                 "Defaults and limits of a well-known far end.")
          .value("link-speed", &Line::link_speed, link_speed(),
                 "Speed of the circuit, on which a profile's suites depend.")
          .value("engine", &Line::engine, engine(),
                 "Crypto engine: ipsec-mb, openssl, a DPDK crypto device (a vdev string or PCI "
                 "address), or the best of them.")
          .map("workers", &Line::workers, line_workers_type(), "Workers of this line.")
          .map("gateway", &Line::gateway, gateway_type(), "With stage esp.")
          .map(
              "esp", [](Line& l) -> Line& { return l; }, esp_type(), "With stage esp.")
          .map("macsec", &Line::macsec, macsec_type(), "With stage macsec.")
          .build();
  return type;
}

}  // namespace

const MapType& document_type() {
  static const MapType type =
      Fields<Document>("document", "A Sealwire configuration.")
          .value("sealwire", &Document::version, scalar::number<std::uint32_t>(0),
                 "Version of this format: 1.", kRequired)
          .value("lab", &Document::lab, scalar::boolean(),
                 "Allow static keys and secrets in the file itself. Never in production.")
          .map("system", &Document::system, system_type(), "What the daemon uses.")
          .named("ports", &Document::ports, by_name<Port>(), port_type(), "The devices.", kRequired)
          .named("lines", &Document::lines, by_name<Line>(), line_type(), "What joins them.",
                 kRequired)
          .build();
  return type;
}

}  // namespace sealwire::config
