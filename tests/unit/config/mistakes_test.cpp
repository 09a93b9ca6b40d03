// Every rule has a document that breaks it, and the mistake is found exactly where it is.
//
// In the documents @ marks the place: it is taken out, and its line and column are what the mistake
// must say.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "config/host.h"
#include "config/load.h"
#include "config/rules.h"

namespace sealwire::config {
namespace {

struct Case {
  const char* name;
  Rule rule;
  std::string text;
  std::string nearest = {};
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "the base document has no: " << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

std::string many_ports(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(10 + i);
    text += "  p" + number + ": {device: net_null" + number + "}\n";
  }
  return text;
}

const std::string kKey16 = "8f1d3c9a7be264505a1cc0de9ff37b21";
const std::string kOther16 = "1b5e8c0d3fa79e62447a90c1d2b3f586";
const std::string kKey32 = kKey16 + kOther16;
const std::string kSalt = "a1b2c3d4e5f60718293a4b5c";

// A wire with static keys.
const std::string kWire = R"(sealwire: 1
lab: true
ports:
  in: {device: net_null0}
  out: {device: net_null1, mtu: 1532, mac: "02:00:00:00:00:0a"}
lines:
  w:
    stages: [macsec]
    inside: [in]
    outside: [out]
    macsec:
      suite: gcm-aes-128
      sci: 02:00:00:00:00:0a/1
      tx:
        encoding-sa: 0
        sas:
          0: {key: ")" + kKey16 +
                          R"("}
      rx:
        far:
          sci: 02:00:00:00:00:0b/1
          sas:
            0: {key: ")" + kOther16 +
                          R"("}
)";

const std::string kXpn = R"(sealwire: 1
lab: true
ports:
  in: {device: net_null0}
  out: {device: net_null1, mtu: 1532}
lines:
  w:
    stages: [macsec]
    inside: [in]
    outside: [out]
    macsec:
      suite: gcm-aes-xpn-128
      sci: 02:00:00:00:00:0a/1
      tx:
        sas:
          0: {key: ")" + kKey16 +
                         R"(", salt: )" + kSalt + R"(, ssci: 1}
      rx:
        far:
          sci: 02:00:00:00:00:0b/1
          sas:
            0: {key: ")" +
                         kOther16 + R"(", salt: )" + kSalt + R"(, ssci: 2}
)";

const std::string kMka = R"(sealwire: 1
lab: true
ports:
  in: {device: net_null0}
  out: {device: net_null1, mtu: 1532}
lines:
  w:
    stages: [macsec]
    inside: [in]
    outside: [out]
    macsec:
      mka:
        keys:
          one: {cak: ")" +
                         kKey16 + R"(", ckn: "01", end: 2027-01-01T00:00:00Z}
          two: {cak: ")" +
                         kOther16 + R"(", ckn: "02", start: 2026-12-01T00:00:00Z}
)";

// A gateway with ESP alone.
const std::string kGateway = R"(sealwire: 1
lab: true
ports:
  lan: {device: net_null0}
  wan: {device: net_null1}
lines:
  g:
    stages: [esp]
    inside: [lan]
    outside: [wan]
    gateway:
      addresses:
        lan: [10.1.0.1/24]
        wan: [192.0.2.1/24]
      routes:
        10.2.0.0/24: {via: 192.0.2.2, port: wan}
    esp:
      sas:
        there:
          direction: out
          spi: 0x1001
          algorithm: aes-gcm-128
          key: )" + kKey16 + R"(00112233
          source: 192.0.2.1
          destination: 192.0.2.2
        back:
          direction: in
          spi: 0x1002
          algorithm: aes-gcm-128
          key: )" + kOther16 +
                             R"(00112233
          source: 192.0.2.2
          destination: 192.0.2.1
      policies:
        all:
          action: protect
          sa: there
          inbound-sa: back
          source: 10.1.0.0/24
          destination: 10.2.0.0/24
)";

std::string wire(const std::string& from, const std::string& to) {
  return replaced(kWire, from, to);
}
std::string xpn(const std::string& from, const std::string& to) { return replaced(kXpn, from, to); }
std::string mka(const std::string& from, const std::string& to) { return replaced(kMka, from, to); }
std::string gateway(const std::string& from, const std::string& to) {
  return replaced(kGateway, from, to);
}
// A line of the profile's kind, with MKA.
std::string profile(const std::string& settings) {
  return replaced(
      mka("    macsec:\n", settings + "    macsec:\n"),
      "          two: {cak: \"" + kOther16 + "\", ckn: \"02\", start: 2026-12-01T00:00:00Z}\n", "");
}

const std::vector<Case>& cases() {
  using enum Rule;
  static const std::vector<Case> all{
      // the document
      {"syntax", syntax,
       replaced(wire("inside: [in]", "inside: [in"), "outside: [out]", "outside@: [out]")},
      {"duplicate_key", duplicate_key, wire("lines:", "@lab: true\nlines:")},
      {"duplicate_line", duplicate_key, kWire + "  @w: {}\n"},
      {"wrong_type_list", wrong_type, wire("  w:\n", "  @x: [1]\n  w:\n")},
      {"wrong_type_nothing", wrong_type, wire("lines:", "@system:\nlines:")},
      {"wrong_type_mapping", wrong_type, wire("suite: gcm-aes-128", "@suite: {a: b}")},
      {"unknown_key", unknown_key, wire("suite:", "@suit:"), "suite"},
      {"unknown_key_underscore", unknown_key,
       wire("      sci: 02:00:00:00:00:0a/1",
            "      @replay_window: 64\n      sci: 02:00:00:00:00:0a/1"),
       "replay-window"},
      {"missing_key", missing_key,
       gateway("        there:\n          direction: out\n", "        @there:\n")},
      {"missing_top_key", missing_key, "@sealwire: 1\nports: {}\n"},
      {"bad_number", bad_value, wire("mtu: 1532", "mtu: @99999")},
      {"quoted_number", bad_value, wire("mtu: 1532", "mtu: @\"1532\"")},
      {"bad_boolean", bad_value, wire("lab: true", "lab: true\nsystem: {eal-log: @yes}")},
      {"bad_duration", bad_value, mka("      mka:\n", "      mka:\n        timers: {hello: @2}\n")},
      {"bad_sci_text", bad_value, wire("sci: 02:00:00:00:00:0b/1", "sci: @02:00:00:00:0b/1")},
      {"bad_offset", bad_value,
       wire("suite: gcm-aes-128", "suite: gcm-aes-128\n      confidentiality-offset: @20")},
      {"bad_ckn", bad_value, mka("ckn: \"02\"", "ckn: @\"020\"")},
      {"ckn_of_33", bad_value, mka("ckn: \"02\"", "ckn: @" + std::string(66, '7'))},
      {"ckn_of_0", bad_value, mka("ckn: \"02\"", "ckn: @\"\"")},
      {"bad_day", bad_value, mka("2026-12-01", "@2026-02-30")},
      {"address_without_length", bad_value, gateway("[10.1.0.1/24]", "[@10.1.0.1]")},
      {"unknown_choice", unknown_choice, wire("gcm-aes-128", "@gcm-aes-126"), "gcm-aes-128"},
      {"unknown_stage", unknown_choice, wire("[macsec]", "[@macsek]"), "macsec"},
      {"unknown_algorithm", unknown_choice, gateway("aes-gcm-128", "@aes-gcm-129"), "aes-gcm-128"},
      {"document_version", document_version, wire("sealwire: 1", "sealwire: @2")},
      {"alias", yaml_feature,
       replaced(wire("inside: [in]", "inside: &x [in]"), "outside: [out]", "outside: @*x")},
      {"anchor", yaml_feature, wire("inside: [in]", "inside: @&x [in]")},
      {"tag", yaml_feature, wire("inside: [in]", "inside: @!t [in]")},
      {"two_documents", yaml_feature, kWire + "---\n@a: b\n"},
      {"bad_name", bad_name, wire("  in: {", "  @-in: {")},
      {"bad_an", bad_name,
       wire("          0: {key: \"" + kKey16, "          @4: {key: \"" + kKey16)},
      {"bad_an_twice_zero", bad_name,
       wire("          0: {key: \"" + kKey16, "          @00: {key: \"" + kKey16)},

      // secrets
      {"secret_missing_file", secret_unreadable,
       wire("\"" + kKey16 + "\"", "@file:/nonexistent/x.key")},
      {"secret_directory", secret_permissions, wire("\"" + kKey16 + "\"", "@file:/")},
      {"secret_environment", secret_environment,
       wire("\"" + kKey16 + "\"", "@env:SEALWIRE_TEST_UNSET")},
      {"secret_inline", secret_inline,
       replaced(mka("lab: true", "lab: false"), "\"" + kKey16, "@\"" + kKey16)},
      {"secret_not_hex", secret_not_hex, wire("\"" + kKey16 + "\"", "@not-hexadecimal")},
      {"secret_odd", secret_not_hex, wire("\"" + kKey16 + "\"", "@abc")},
      {"macsec_key_length", key_length, wire("\"" + kKey16 + "\"", "@\"" + kKey32 + "\"")},
      {"esp_key_length", key_length, gateway(kKey16 + "00112233", "@" + kKey16)},
      {"esp_key_length_apart", key_length,
       gateway(kKey16 + "00112233", "@" + kKey16 + "00\n          salt: \"00112233\"")},
      {"cak_length", key_length, mka("\"" + kKey16 + "\"", "@\"" + kKey16 + "00\"")},
      {"salt_twice", salt,
       gateway(kKey16 + "00112233", kKey16 + "00112233\n          salt: @\"00112233\"")},
      {"salt_for_cbc", salt,
       replaced(gateway("algorithm: aes-gcm-128", "algorithm: aes-cbc-128-hmac-sha256-128"),
                kKey16 + "00112233", kKey16 + kKey32 + "\n          salt: @\"00112233\"")},
      {"xpn_salt_length", salt, xpn("salt: " + kSalt, "salt: @" + kSalt + "00")},

      // ports
      {"unknown_port", unknown_port, wire("inside: [in]", "inside: [@inn]"), "in"},
      {"unknown_port_in_route", unknown_port, gateway("port: wan", "port: @wann"), "wan"},
      {"unknown_port_in_addresses", unknown_port,
       gateway("        wan: [192.0.2.1/24]",
               "        wan: [192.0.2.1/24]\n        @wam: [192.0.3.1/24]"),
       "wan"},
      {"port_on_both_sides", port_used_twice, wire("outside: [out]", "outside: [@in]")},
      {"unknown_device", unknown_device, wire("net_null0", "@net_nul0"), "net_null"},
      {"device_used_twice", device_used_twice, wire("device: net_null1", "device: @net_null0")},
      {"multicast_mac", mac_address, wire("\"02:00:00:00:00:0a\"", "@\"03:00:00:00:00:0a\"")},

      {"too_many_ports", too_many_ports,
       wire("lines:\n  w:\n", many_ports(30) + "  @one: {device: net_null99}\nlines:\n  w:\n")},

      // lines
      {"line_without_stages", line_without_stages,
       "sealwire: 1\nports:\n  a: {device: net_null0}\n  b: {device: net_null1}\nlines:\n  x:\n"
       "    @stages: []\n    inside: a\n    outside: b\n"},
      {"wire_ports", wire_ports,
       replaced(wire("  in: {", "  more: {device: net_null2}\n  in: {"), "    inside: [in]",
                "    @inside: [in, more]")},
      {"stage_order", stages,
       replaced(kGateway, "    stages: [esp]", "    @stages: [macsec, esp]")},
      {"stage_twice", stages, wire("    stages: [macsec]", "    @stages: [macsec, macsec]")},
      {"foreign_settings", foreign_settings,
       wire("    macsec:\n", "    @esp: {policies: {}}\n    macsec:\n")},
      {"missing_settings", missing_settings,
       gateway("  g:\n    stages: [esp]", "  @g:\n    stages: [esp, macsec]")},
      {"mtu_overhead", mtu_overhead, wire("mtu: 1532", "mtu: @1531")},
      {"mtu_overhead_without_sci", mtu_overhead,
       replaced(wire("mtu: 1532", "mtu: @1523"), "suite:", "include-sci: false\n      suite:")},
      {"mtu_overhead_of_several_channels", mtu_overhead,
       replaced(
           replaced(wire("mtu: 1532", "mtu: @1531"), "suite:", "include-sci: false\n      suite:"),
           "      rx:\n",
           "      rx:\n        third:\n          sci: 02:00:00:00:00:0c/1\n          sas:\n"
           "            0: {key: \"00112233445566778899aabbccddee0f\"}\n")},
      {"mtu_of_clear_line", mtu_overhead,
       "sealwire: 1\nports:\n  a: {device: net_null0}\n  b: {device: net_null1, mtu: @1499}\n"
       "lines:\n  x:\n    stages: []\n    cleartext: allow\n    inside: a\n    outside: b\n"},
      {"protect_frames_off", clear_macsec, wire("suite:", "protect-frames: @false\n      suite:")},
      {"validate_check", clear_macsec, wire("suite:", "validate-frames: @check\n      suite:")},
      {"validate_disabled", clear_macsec,
       wire("suite:", "validate-frames: @disabled\n      suite:")},
      {"should_secure", clear_macsec,
       mka("      mka:\n", "      mka:\n        policy: @should-secure\n")},
      {"bypass_in_clear", clear_bypass,
       kGateway + "        clear: {action: @bypass, source: 10.9.0.0/16}\n"},
      {"too_few_cores", too_few_cores,
       wire("    macsec:\n", "    workers: {egress: @2}\n    macsec:\n")},
      {"core_of_no_worker", too_few_cores,
       replaced(wire("lines:", "system: {workers: [1, 2]}\nlines:"), "    macsec:\n",
                "    workers: {@egress: [3]}\n    macsec:\n")},
      {"core_twice", core_used_twice, wire("lines:", "system: {@workers: [1, 1]}\nlines:")},
      {"control_core_is_worker", core_used_twice,
       wire("lines:", "system: {workers: [1, 2], control-core: @2}\nlines:")},
      {"needs_ports", needs_ports, wire("    inside: [in]", "    @inside: []")},
      {"crypto_null", crypto_device,
       wire("    macsec:\n", "    engine: @cryptodev:crypto_null0\n    macsec:\n")},
      {"no_crypto_device", crypto_device,
       wire("    macsec:\n", "    engine: @cryptodev:net_null5\n    macsec:\n")},
      {"alone_on_two", alone,
       replaced(wire("lines:", "system: {workers: 2}\nlines:"), "    macsec:\n",
                "    workers: {mode: alone, egress: @2}\n    macsec:\n")},

      // MACsec
      {"xpn_offset", xpn_offset,
       xpn("suite: gcm-aes-xpn-128", "suite: gcm-aes-xpn-128\n      confidentiality-offset: @30")},
      {"xpn_offset_by_mka", xpn_offset,
       mka("      mka:\n",
           "      confidentiality-offset: 30\n      mka:\n        @suites: [gcm-aes-xpn-128]\n")},
      {"static_sak", static_keys,
       replaced(replaced(replaced(wire("lab: true", "lab: false"), "      tx:", "      @tx:"),
                         "\"" + kKey16 + "\"", "env:SEALWIRE_TEST_KEY_A"),
                "\"" + kOther16 + "\"", "env:SEALWIRE_TEST_KEY_B")},
      {"static_esp", static_keys,
       replaced(replaced(replaced(gateway("lab: true", "lab: false"), "      sas:", "      @sas:"),
                         kKey16 + "00112233", "env:SEALWIRE_TEST_KEYMAT_A"),
                kOther16 + "00112233", "env:SEALWIRE_TEST_KEYMAT_B")},
      {"es_with_sci", sci_flags, wire("suite:", "use-es: @true\n      suite:")},
      {"scb_with_sci", sci_flags, wire("suite:", "use-scb: @true\n      suite:")},
      {"es_and_scb", sci_flags,
       wire("suite:",
            "include-sci: false\n      use-es: true\n      use-scb: @true\n      suite:")},
      {"es_other_port", es_sci,
       replaced(wire("suite:", "include-sci: false\n      use-es: true\n      suite:"),
                "sci: 02:00:00:00:00:0a/1", "sci: @02:00:00:00:00:0a/2")},
      {"es_other_mac", es_sci,
       replaced(wire("suite:", "include-sci: false\n      use-es: true\n      suite:"),
                "sci: 02:00:00:00:00:0a/1", "sci: @02:00:00:00:00:0c/1")},
      {"xpn_window", window_too_large, xpn("suite:", "replay-window: @1073741825\n      suite:")},
      {"xpn_window_by_mka", window_too_large,
       mka("      mka:\n", "      replay-window: @1073741825\n      mka:\n")},
      {"bitmap_window", bitmap_window,
       wire("suite:", "duplicate-bitmap: true\n      replay-window: @16385\n      suite:")},
      {"one_sak_two_ans", same_sak,
       wire("\"" + kKey16 + "\"}\n",
            "\"" + kKey16 + "\"}\n          1: {key: @\"" + kKey16 + "\"}\n")},
      {"one_sak_one_ssci", same_sak,
       replaced(xpn(kOther16, kKey16), "\"" + kKey16 + "\", salt: " + kSalt + ", ssci: 2",
                "@\"" + kKey16 + "\", salt: " + kSalt + ", ssci: 1")},
      {"one_sak_two_lines", same_sak,
       xpn("  out: {",
           "  in2: {device: net_null2}\n  out2: {device: net_null3, mtu: 1532}\n  out: {") +
           "  w2:\n    stages: macsec\n    inside: in2\n    outside: out2\n    macsec:\n"
           "      suite: gcm-aes-xpn-128\n      sci: 02:00:00:00:00:0c/1\n"
           "      tx: {sas: {0: {key: @\"" +
           kKey16 + "\", salt: " + kSalt + ", ssci: 1}}}\n"},
      {"xpn_without_salt", xpn_fields,
       xpn("          0: {key: \"" + kKey16 + "\", salt: " + kSalt + ", ",
           "          @0: {key: \"" + kKey16 + "\", ")},
      {"xpn_without_ssci", xpn_fields,
       xpn("          0: {key: \"" + kKey16 + "\", salt: " + kSalt + ", ssci: 1}",
           "          @0: {key: \"" + kKey16 + "\", salt: " + kSalt + "}")},
      {"salt_without_xpn", xpn_fields,
       wire("\"" + kKey16 + "\"}", "\"" + kKey16 + "\", salt: @" + kSalt + "}")},
      {"ssci_without_xpn", xpn_fields,
       wire("\"" + kKey16 + "\"}", "\"" + kKey16 + "\", ssci: @1}")},
      {"encoding_sa", encoding_sa, wire("encoding-sa: 0", "encoding-sa: @1")},
      {"static_and_mka", static_and_mka,
       mka("      mka:\n",
           "      sci: 02:00:00:00:00:0a/1\n      suite: gcm-aes-128\n      @tx: {sas: {0: {key: "
           "\"" +
               kKey32.substr(16, 32) + "\"}}}\n      mka:\n")},
      {"no_keys", static_and_mka,
       replaced(kMka, kMka.substr(kMka.find("    macsec:")),
                "    @macsec: {suite: gcm-aes-128}\n")},
      {"peer_has_our_sci", same_sci, wire("sci: 02:00:00:00:00:0b/1", "sci: @02:00:00:00:00:0a/1")},
      {"secys_beside_short_form", secys,
       mka("      mka:\n",
           "      sci: @02:00:00:00:00:0a/1\n      secys: {out: {}}\n      mka:\n")},
      {"secys_of_no_port", secys,
       mka("      mka:\n", "      secys: {@ou: {sci: 02:00:00:00:00:0a/1}}\n      mka:\n"), "out"},
      {"pn_zero", next_pn, wire("\"" + kKey16 + "\"}", "\"" + kKey16 + "\", next-pn: @0}")},
      {"pn_too_large", next_pn,
       wire("\"" + kKey16 + "\"}", "\"" + kKey16 + "\", next-pn: @4294967296}")},
      {"offset_without_confidentiality", offset_without_confidentiality,
       wire("suite:", "confidentiality: false\n      confidentiality-offset: @30\n      suite:")},
      {"sci_missing", sci_missing,
       replaced(wire("      sci: 02:00:00:00:00:0a/1\n", ""), "    macsec:", "    @macsec:")},
      {"sci_all_ones", bad_sci, wire("sci: 02:00:00:00:00:0a/1", "sci: @ffffffffffffffff")},
      {"sci_zero", bad_sci, wire("sci: 02:00:00:00:00:0a/1", "sci: @\"0000000000000000\"")},
      {"peer_sci_all_ones", bad_sci, wire("sci: 02:00:00:00:00:0b/1", "sci: @ffffffffffffffff")},

      // MKA
      {"mka_without_keys", mka_keys,
       replaced(kMka, kMka.substr(kMka.find("        keys:")), "        @keys: {}\n")},
      {"mka_same_ckn", mka_same_ckn, mka("ckn: \"02\"", "ckn: @\"01\"")},
      {"mka_key_times", mka_key_times,
       mka("end: 2027-01-01T00:00:00Z",
           "start: 2027-01-01T00:00:00Z, end: @2027-01-01T01:00:00+01:00")},
      {"mka_bounded_hello", mka_timers,
       mka("      mka:\n", "      mka:\n        timers: {bounded-hello: @3s}\n")},
      {"mka_life", mka_timers, mka("      mka:\n", "      mka:\n        timers: {life: @3s}\n")},
      {"mka_rekey_pn", mka_rekey_pn,
       mka("      mka:\n", "      mka:\n        rekey: {pn-threshold: @0x100000000}\n")},
      {"mka_suite_twice", mka_suites,
       mka("      mka:\n", "      mka:\n        @suites: [gcm-aes-128, gcm-aes-128]\n")},
      {"mka_no_suite", mka_suites, mka("      mka:\n", "      mka:\n        @suites: []\n")},

      // ESP and gateway
      {"same_spi", same_spi,
       gateway("      policies:\n",
               "        more:\n          direction: in\n          spi: @0x1002\n          "
               "algorithm: aes-gcm-128\n"
               "          key: " +
                   kKey32.substr(8, 32) +
                   "00112233\n          source: 192.0.2.2\n"
                   "          destination: 192.0.2.1\n          selectors: [{source: "
                   "10.7.0.0/16}]\n      policies:\n")},
      {"reserved_spi", reserved_spi, gateway("spi: 0x1001", "spi: @255")},
      {"same_key", same_key, gateway(kOther16 + "00112233", "@" + kKey16 + "00112233")},
      {"esp_window_odd", esp_window,
       gateway("          spi: 0x1002", "          spi: 0x1002\n          replay-window: @100")},
      {"esp_window_large", esp_window,
       gateway("          spi: 0x1002", "          spi: 0x1002\n          replay-window: @16416")},
      {"esn_without_window", esn_without_window,
       gateway("          spi: 0x1002",
               "          spi: 0x1002\n          esn: true\n          replay-window: @0")},
      {"unknown_sa", unknown_sa, gateway("sa: there", "sa: @ther"), "there"},
      {"unknown_sa_in_list", unknown_sa, gateway("sa: there", "sa: [there, @ther]"), "there"},
      {"inbound_as_outbound", sa_direction, gateway("sa: there", "sa: @back")},
      {"outbound_as_inbound", sa_direction,
       gateway("inbound-sa: back", "inbound-sa: [back, @there]")},
      {"protect_without_sa", policy_sa,
       replaced(gateway("          sa: there\n", ""), "        all:", "        @all:")},
      {"discard_with_sa", policy_sa,
       kGateway + "        none: {action: discard, sa: @there, source: 10.9.0.0/16}\n"},
      {"no_address", no_address,
       replaced(gateway("        lan: [10.1.0.1/24]\n", ""),
                "      addresses:", "      @addresses:")},
      {"foreign_source", endpoints, gateway("source: 192.0.2.1", "source: @192.0.2.9")},
      {"inside_source", endpoints, gateway("source: 192.0.2.1", "source: @10.1.0.1")},
      {"endpoint_families", endpoints,
       gateway("destination: 192.0.2.2", "destination: @2001:db8::2")},
      {"no_selectors", no_selectors,
       replaced(gateway("          inbound-sa: back\n", ""), "        back:", "        @back:")},
      {"lifetimes", lifetimes,
       gateway("          spi: 0x1001",
               "          spi: 0x1001\n          lifetime: {soft-bytes: @2GiB, hard-bytes: 1GiB}")},
      {"mixed_families", mixed_families,
       gateway("          destination: 10.2.0.0/24", "          destination: @2001:db8::/32")},
      {"route_off_link", route_next_hop, gateway("via: 192.0.2.2", "via: @192.0.3.2")},
      {"route_to_ourselves", route_next_hop, gateway("via: 192.0.2.2", "via: @192.0.2.1")},
      {"ports_without_protocol", ports_without_protocol,
       gateway("          source: 10.1.0.0/24",
               "          source: 10.1.0.0/24\n          destination-ports: @80")},
      {"host_bits", host_bits,
       gateway("          source: 10.1.0.0/24", "          source: @10.1.0.1/24")},
      {"host_bits_of_route", host_bits, gateway("10.2.0.0/24: {", "@10.2.0.1/24: {")},
      {"path_mtu", path_mtu,
       gateway("          spi: 0x1001", "          spi: 0x1001\n          path-mtu: @575")},
      {"sn_zero", next_pn,
       gateway("          spi: 0x1001", "          spi: 0x1001\n          next-sn: @0")},
      {"sn_too_large", next_pn,
       gateway("          spi: 0x1001", "          spi: 0x1001\n          next-sn: @4294967296")},
      {"sn_of_inbound", sa_fields,
       gateway("          spi: 0x1002", "          spi: 0x1002\n          next-sn: @2")},
      {"window_of_outbound", sa_fields,
       gateway("          spi: 0x1001", "          spi: 0x1001\n          replay-window: @64")},
      {"ttl_of_inbound", sa_fields,
       gateway("          spi: 0x1002", "          spi: 0x1002\n          ttl: @64")},
      {"same_address", same_address,
       gateway("        wan: [192.0.2.1/24]", "        @wan: [192.0.2.1/24, 10.1.0.1/24]")},
      {"same_route", same_address,
       gateway("      routes:\n",
               "      routes:\n        10.9.0.9: {via: 192.0.2.2, port: wan}\n"
               "        @10.9.0.9/32: {via: 192.0.2.2, port: wan}\n")},

      // profiles
      {"azure_needs_speed", profile_refuses,
       replaced(profile("    profile: azure-expressroute-direct\n"), "  w:", "  @w:")},
      {"azure_10g_xpn", profile_refuses,
       replaced(profile("    profile: azure-expressroute-direct\n    link-speed: 10G\n"),
                "      mka:\n", "      mka:\n        @suites: [gcm-aes-xpn-256]\n")},
      {"azure_vlan", profile_refuses,
       replaced(profile("    profile: azure-expressroute-direct\n    link-speed: 100G\n"),
                "      mka:\n", "      vlan-in-clear: @1\n      mka:\n")},
      {"aws_gcm_128", profile_refuses,
       replaced(replaced(profile("    profile: aws-direct-connect\n    link-speed: 10G\n"),
                         "      mka:\n", "      mka:\n        @suites: [gcm-aes-128]\n"),
                "\"" + kKey16 + "\", ckn: \"01\"", "\"" + kKey32 + "\", ckn: \"" + kKey32 + "\"")},
      {"aws_short_ckn", profile_refuses,
       replaced(profile("    profile: aws-direct-connect\n    link-speed: 100G\n"),
                "\"" + kKey16 + "\", ckn: \"01\"", "\"" + kKey32 + "\", ckn: @\"01\"")},
      {"linux_xpn", profile_refuses,
       replaced(profile("    profile: linux\n"), "      mka:\n",
                "      mka:\n        @suites: [gcm-aes-xpn-128]\n")},

      // warnings
      {"lab_mode", lab_mode, wire("lab: true", "lab: @true")},
      {"weak_zero", weak_key, wire("\"" + kKey16 + "\"", "@\"" + std::string(32, '0') + "\"")},
      {"weak_counting", weak_key,
       wire("\"" + kKey16 + "\"", "@\"000102030405060708090a0b0c0d0e0f\"")},
      {"weak_esp", weak_key, gateway(kKey16 + "00112233", "@" + std::string(32, 'a') + "00112233")},
      {"unused_port", unused_port, wire("  in: {", "  @more: {device: net_null7}\n  in: {")},
      {"unused_sa", unused_sa,
       gateway("      policies:\n",
               "        @more:\n          direction: out\n          spi: 0x1003\n          "
               "algorithm: aes-gcm-128\n"
               "          key: " +
                   kKey32.substr(8, 32) +
                   "00112233\n          source: 192.0.2.1\n"
                   "          destination: 192.0.2.2\n      policies:\n")},
      {"unreachable_policy", unreachable_policy,
       kGateway +
           "        @never: {action: discard, source: 10.1.0.0/25, destination: 10.2.0.0/24}\n"},
      {"clear_line", clear_line, wire("    macsec:\n", "    cleartext: @allow\n    macsec:\n")},
      {"no_replay_protect", no_replay_protection,
       wire("suite:", "replay-protect: @false\n      suite:")},
      {"no_esp_window", no_replay_protection,
       gateway("          spi: 0x1002", "          spi: 0x1002\n          replay-window: @0")},
      {"cak_padded", cak_padded,
       replaced(mka("      mka:\n", "      mka:\n        cak-padding: right-zero\n"),
                "\"" + kKey16 + "\"", "@\"" + kKey16 + "77\"")},
      {"key_chain_gap", key_chain_gap, mka("2026-12-01", "@2027-12-01")},
      {"integrity_only", no_confidentiality,
       wire("suite:", "confidentiality: @false\n      suite:")},
      {"gmac", no_confidentiality, gateway("algorithm: aes-gcm-128", "algorithm: @aes-gmac-128")},
      {"sha1", old_algorithm,
       replaced(gateway("algorithm: aes-gcm-128", "algorithm: @aes-cbc-128-hmac-sha1-96"),
                kKey16 + "00112233", kKey16 + kKey16 + "00112233")},
  };
  return all;
}

std::string listing(const Loaded& loaded) {
  std::string text;
  for (const auto* list : {&loaded.mistakes, &loaded.warnings})
    for (const Mistake& mistake : *list) text += to_string(mistake) + "\n";
  return text;
}

// Takes out the mark and says where it was.
Position take_mark(std::string& text) {
  const std::size_t at = text.find('@');
  EXPECT_NE(at, std::string::npos) << "the document has no mark";
  if (at == std::string::npos) return {};
  text.erase(at, 1);
  Position position{1, 1};
  for (std::size_t i = 0; i < at; ++i) {
    ++position.column;
    if (text[i] == '\n') ++position.line, position.column = 1;
  }
  return position;
}

class Mistakes : public testing::TestWithParam<Case> {};

TEST_P(Mistakes, IsFoundWhereItIs) {
  setenv("SEALWIRE_TEST_KEY_A", kKey16.c_str(), 1);
  setenv("SEALWIRE_TEST_KEY_B", kOther16.c_str(), 1);
  setenv("SEALWIRE_TEST_KEYMAT_A", (kKey16 + "00112233").c_str(), 1);
  setenv("SEALWIRE_TEST_KEYMAT_B", (kOther16 + "00112233").c_str(), 1);
  std::string text = GetParam().text;
  const Position mark = take_mark(text);
  const Loaded loaded = load_text(text, "test.yaml");
  const auto& list = is_warning(GetParam().rule) ? loaded.warnings : loaded.mistakes;
  const std::string id = id_of(GetParam().rule);
  bool found = false;
  for (const Mistake& mistake : list) {
    if (mistake.id != id || mistake.line != mark.line || mistake.column != mark.column) continue;
    found = true;
    EXPECT_EQ(mistake.file, "test.yaml");
    EXPECT_FALSE(mistake.message.empty());
    if (!GetParam().nearest.empty()) {
      EXPECT_EQ(mistake.nearest, GetParam().nearest);
    }
  }
  EXPECT_TRUE(found) << "expected " << id << " at " << mark.line << ":" << mark.column << ", got\n"
                     << listing(loaded) << text;
  if (is_warning(GetParam().rule)) {
    EXPECT_TRUE(loaded.ok()) << listing(loaded);
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Mistakes, testing::ValuesIn(cases()),
                         [](const auto& param) { return std::string(param.param.name); });

// The base documents are right: what the cases change is what is wrong.
TEST(MistakesBase, HasNone) {
  for (const std::string& text : {kWire, kXpn, kMka, kGateway}) {
    const Loaded loaded = load_text(text, "base.yaml");
    EXPECT_TRUE(loaded.ok()) << listing(loaded) << text;
    EXPECT_EQ(loaded.warnings.size(), 1U) << listing(loaded);
  }
}

TEST(MistakesBase, AllPortsThatDpdkHasRoomForMayBeUsed) {
  const Loaded loaded =
      load_text(replaced(kWire, "lines:\n  w:\n", many_ports(30) + "lines:\n  w:\n"), "x.yaml");
  EXPECT_TRUE(loaded.ok()) << listing(loaded);
  EXPECT_EQ(loaded.document.ports.size(), kMostPorts);
}

TEST(MistakesTable, EveryRuleHasATest) {
  std::set<Rule> tested{Rule::unreadable_file, Rule::host_no_core, Rule::host_no_device,
                        Rule::host_directory, Rule::shared_cores};  // below, and in host_test
  for (const Case& c : cases()) tested.insert(c.rule);
  for (const RuleText& rule : all_rules())
    EXPECT_TRUE(tested.contains(rule.rule)) << id_of(rule.rule) << " " << rule.title;
  EXPECT_EQ(tested.size(), all_rules().size());
}

TEST(MistakesFile, Unreadable) {
  for (const char* path : {"/nonexistent/site.yaml", "/"}) {
    const Loaded loaded = load_file(path);
    ASSERT_EQ(loaded.mistakes.size(), 1U);
    EXPECT_EQ(loaded.mistakes[0].id, id_of(Rule::unreadable_file));
  }
}

TEST(MistakesAll, AreReportedAtOnceInOrder) {
  std::string text = replaced(kWire, "suite:", "suit:");
  text = replaced(text, "mtu: 1532", "mtu: 15");
  text = replaced(text, "inside: [in]", "inside: [inn]");
  text = replaced(text, "encoding-sa: 0", "encoding-sa: 3");
  const Loaded loaded = load_text(text, "test.yaml");
  std::vector<std::string> ids;
  int line = 0;
  for (const Mistake& mistake : loaded.mistakes) {
    ids.push_back(mistake.id);
    EXPECT_GE(mistake.line, line);
    line = mistake.line;
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"SW-CFG-006", "SW-CFG-030", "SW-CFG-004", "SW-CFG-068"}))
      << listing(loaded);
}

// The default that stands in for a wrong value is not measured against others.
TEST(MistakesAll, AValueThatCannotBeIsNotJudgedFurther) {
  const Loaded loaded = load_text(replaced(kWire, "mtu: 1532", "mtu: 99999"), "test.yaml");
  ASSERT_EQ(loaded.mistakes.size(), 1U) << listing(loaded);
  EXPECT_EQ(loaded.mistakes[0].id, "SW-CFG-006");
}

TEST(MistakesText, ReadsLikeACompiler) {
  const Loaded loaded = load_text(replaced(kWire, "suite:", "suit:"), "site-a.yaml");
  ASSERT_EQ(loaded.mistakes.size(), 1U) << listing(loaded);
  EXPECT_EQ(
      to_string(loaded.mistakes[0]),
      "site-a.yaml:12:7: SW-CFG-004: lines.w.macsec.suit: unknown key; did you mean 'suite'?");
}

// A text that breaks off is not blamed for what did not follow.
TEST(MistakesText, BrokenOffSaysOnlyThat) {
  const Loaded loaded = load_text("sealwire: 1\nports: {a: [b\n", "x.yaml");
  for (const Mistake& mistake : loaded.mistakes)
    EXPECT_NE(mistake.id, id_of(Rule::missing_key)) << to_string(mistake);
  EXPECT_FALSE(loaded.ok());
}

// Files of secrets: mode, owner and content.
class SecretFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "sealwire-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::vector<std::string> load(const std::string& content, mode_t mode) {
    std::ofstream(directory_ / "a.key") << content;
    chmod((directory_ / "a.key").c_str(), mode);
    std::ofstream(directory_ / "x.yaml") << replaced(kWire, "\"" + kKey16 + "\"", "file:a.key");
    std::vector<std::string> ids;
    for (const Mistake& mistake : load_file((directory_ / "x.yaml").string()).mistakes)
      ids.push_back(mistake.id);
    return ids;
  }

  std::filesystem::path directory_;
};

TEST_F(SecretFiles, OwnersOnly) {
  EXPECT_TRUE(load(kKey16 + "\n", 0600).empty()) << "relative to the configuration";
  EXPECT_TRUE(load("  " + kKey16, 0400).empty());
  const std::vector<std::string> refused{id_of(Rule::secret_permissions)};
  for (const mode_t mode : {0640U, 0604U, 0660U, 0602U, 0644U})
    EXPECT_EQ(load(kKey16, mode), refused) << mode;
}

TEST_F(SecretFiles, HexOnly) {
  const std::vector<std::string> refused{id_of(Rule::secret_not_hex)};
  EXPECT_EQ(load("", 0600), refused);
  EXPECT_EQ(load("xyz", 0600), refused);
  EXPECT_EQ(load(std::string(5000, 'a'), 0600),
            std::vector<std::string>{id_of(Rule::secret_unreadable)});
}

// Keys never appear in what is said, wherever they stand.
TEST(Secrets, AreNeverShown) {
  const std::string key = "d15711ec7de7ec7ab1ed15711ec7de7e";
  const std::vector<std::string> texts{
      replaced(kWire, kKey16, key + "00"),
      replaced(kWire, "\"" + kKey16 + "\"", key + "x"),
      replaced(kWire, "\"" + kKey16 + "\"", "{" + key + ": 1}"),
      replaced(kWire, "suite: gcm-aes-128", "suite: " + key),
      replaced(kWire, "encoding-sa: 0", "encoding-sa: " + key),
      replaced(kWire, "encoding-sa: 0", key + ": 0"),
      replaced(kWire, "        far:", "        " + key + "/:"),
      replaced(kWire, "sci: 02:00:00:00:00:0b/1", "sci: " + key),
      replaced(kWire, "inside: [in]", "inside: [" + key + "]"),
      replaced(kWire, "device: net_null0", "device: " + key),
      replaced(kWire, "lab: true", "lab: false\nx: " + key),
      replaced(kWire, kKey16, key + "\", salt: \"" + key),
      replaced(kGateway, "spi: 0x1001", "spi: " + key),
      replaced(kGateway, "sa: there", "sa: " + key),
      replaced(kGateway, kKey16 + "00112233", key),
      replaced(kGateway, kKey16 + "00112233", key + "00112233\n          salt: " + key),
      replaced(kGateway, "source: 192.0.2.1", "source: " + key),
      replaced(kGateway, kOther16 + "00112233", key + "00112233\n          key: " + key),
      replaced(kMka, kKey16, key + "0011"),
      replaced(kMka, "ckn: \"02\"", "ckn: \"" + key + key + key + "\""),
      replaced(kWire, "\"" + kKey16 + "\"", "\"" + key),
      replaced(kWire, "\"" + kKey16 + "\"", "\"\\q" + key + "\""),
      replaced(kWire, "\"" + kKey16 + "\"", "&" + key + " x"),
      replaced(kWire, "\"" + kKey16 + "\"", "!" + key + " x"),
      replaced(kWire, "\"" + kKey16 + "\"", "*" + key),
  };
  for (const std::string& text : texts) {
    const Loaded loaded = load_text(text, "x.yaml");
    EXPECT_FALSE(loaded.ok()) << text;
    EXPECT_EQ(listing(loaded).find(key.substr(0, 12)), std::string::npos) << listing(loaded);
  }
  const Loaded fine = load_text(replaced(kWire, kKey16, key), "x.yaml");
  EXPECT_TRUE(fine.ok());
  EXPECT_EQ(listing(fine).find(key.substr(0, 12)), std::string::npos);
}

}  // namespace
}  // namespace sealwire::config
