#pragma once

// Every rule a configuration can break, by its stable id. The reference lists this table, and a
// test holds that each rule has a document that breaks it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sealwire::config {

// The value is the number in the id: SW-CFG-004. Never reuse or renumber one.
// 1..: the document. 20..: secrets. 30..: ports. 40..: lines. 60..: MACsec. 80..: MKA. 90..: ESP
// and gateway. 130..: profiles. 150..: this host. 200..: warnings.
enum class Rule : std::uint16_t {
  syntax = 1,
  duplicate_key = 2,
  wrong_type = 3,
  unknown_key = 4,
  missing_key = 5,
  bad_value = 6,
  unknown_choice = 7,
  document_version = 8,
  yaml_feature = 9,
  bad_name = 10,
  unreadable_file = 11,

  secret_unreadable = 20,
  secret_permissions = 21,
  secret_environment = 22,
  secret_inline = 23,
  secret_not_hex = 24,
  key_length = 25,
  salt = 26,

  unknown_port = 30,
  port_used_twice = 31,
  unknown_device = 32,
  device_used_twice = 33,
  mac_address = 34,
  too_many_ports = 35,

  line_without_stages = 40,
  wire_ports = 41,
  stages = 42,
  foreign_settings = 43,
  missing_settings = 44,
  mtu_overhead = 45,
  clear_macsec = 46,
  clear_bypass = 47,
  too_few_cores = 48,
  core_used_twice = 49,
  needs_ports = 50,
  crypto_device = 51,
  alone = 52,

  xpn_offset = 60,
  static_keys = 61,
  sci_flags = 62,
  es_sci = 63,
  window_too_large = 64,
  bitmap_window = 65,
  same_sak = 66,
  xpn_fields = 67,
  encoding_sa = 68,
  static_and_mka = 69,
  same_sci = 70,
  secys = 71,
  next_pn = 72,  // and an ESP SA's next-sn
  offset_without_confidentiality = 73,
  sci_missing = 74,
  bad_sci = 75,

  mka_keys = 80,
  mka_same_ckn = 81,
  mka_key_times = 82,
  mka_timers = 83,
  mka_rekey_pn = 84,
  mka_suites = 85,

  same_spi = 90,
  reserved_spi = 91,
  same_key = 92,
  esp_window = 93,
  esn_without_window = 94,
  unknown_sa = 95,
  sa_direction = 96,
  policy_sa = 97,
  no_address = 98,
  endpoints = 99,
  no_selectors = 100,
  lifetimes = 101,
  mixed_families = 102,
  route_next_hop = 103,
  ports_without_protocol = 104,
  host_bits = 105,
  path_mtu = 106,
  sa_fields = 107,
  same_address = 108,

  profile_refuses = 130,

  host_no_core = 150,
  host_no_device = 151,
  host_directory = 152,

  lab_mode = 200,
  weak_key = 201,
  unused_port = 202,
  unused_sa = 203,
  unreachable_policy = 204,
  clear_line = 205,
  no_replay_protection = 206,
  cak_padded = 207,
  key_chain_gap = 208,
  no_confidentiality = 209,
  old_algorithm = 210,
  shared_cores = 211,
};

struct RuleText {
  Rule rule;
  std::string_view title;   // what must hold
  std::string_view remedy;  // what to do about it
};

const std::vector<RuleText>& all_rules();

// "SW-CFG-004"
std::string id_of(Rule rule);

constexpr bool is_warning(Rule rule) { return static_cast<std::uint16_t>(rule) >= 200; }

}  // namespace sealwire::config
