#include "config/profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sealwire::config {
namespace {

Path operator+(Path path, std::string key) {
  path.push_back(std::move(key));
  return path;
}

// Goes through the MKA sections of a line: the shared one and those of single ports.
template <class Function>
void each_mka(const Line& line, const Path& path, const Report& report, Function function) {
  if (!line.macsec) return;
  if (line.macsec->mka) function(*line.macsec->mka, path + "macsec" + "mka");
  for (const SecY& secy : line.macsec->secys)
    if (secy.mka) {
      const Path own = path + "macsec" + "secys" + secy.port + "mka";
      function(*secy.mka, report.given(own) ? own : path + "macsec" + "mka");
    }
}

void refuse(Report& report, const Path& path, std::string message, std::string expected) {
  report.add(Rule::profile_refuses, path, std::move(message), std::move(expected));
}

void need_macsec(const Line& line, const Path& path, Report& report) {
  if (!line.has(Stage::macsec))
    refuse(report, path + "profile", "the profile is for lines with MACsec", "stage macsec");
}

// Suites an end may agree on; static SAs keep to them too.
void need_suites(const Line& line, const Path& path, Report& report,
                 const std::vector<CipherSuite>& allowed, const std::string& reason,
                 const std::string& expected) {
  const auto known = [&](CipherSuite suite) {
    return std::find(allowed.begin(), allowed.end(), suite) != allowed.end();
  };
  each_mka(line, path, report, [&](const Mka& mka, const Path& mka_path) {
    if (!std::all_of(mka.suites.begin(), mka.suites.end(), known))
      refuse(report, mka_path + "suites", reason, expected);
  });
  if (line.macsec && report.given(path + "macsec" + "suite") && !known(line.macsec->suite))
    refuse(report, path + "macsec" + "suite", reason, expected);
}

void need_cloud_settings(const Line& line, const Path& path, Report& report, std::string_view who) {
  if (!line.macsec) return;
  const Path macsec = path + "macsec";
  if (line.macsec->vlan_in_clear != 0)
    refuse(report, macsec + "vlan-in-clear", fmt::format("{} encrypts VLAN tags too", who), "0");
  if (line.macsec->confidentiality_offset != 0)
    refuse(report, macsec + "confidentiality-offset",
           fmt::format("{} has no confidentiality offset", who), "0");
  if (!line.macsec->confidentiality)
    refuse(report, macsec + "confidentiality", fmt::format("{} encrypts", who), "true");
  if (line.macsec->mka == std::nullopt &&
      std::none_of(line.macsec->secys.begin(), line.macsec->secys.end(),
                   [](const SecY& secy) { return secy.mka.has_value(); }))
    refuse(report, macsec, fmt::format("{} agrees on keys by MKA only", who), "mka");
}

void need_link_speed(const Line& line, const Path& path, Report& report, std::string_view who) {
  if (line.link_speed == LinkSpeed::unknown)
    refuse(report, path + "link-speed", fmt::format("{}'s suites depend on the speed", who),
           "link-speed of the circuit");
}

// --- Azure ExpressRoute Direct -------------------------------------------------------------------

void azure_mka(Mka& mka, LinkSpeed speed) {
  mka.suites = {CipherSuite::gcm_aes_256, CipherSuite::gcm_aes_128};
  if (speed > LinkSpeed::g10)
    mka.suites = {CipherSuite::gcm_aes_xpn_256, CipherSuite::gcm_aes_xpn_128,
                  CipherSuite::gcm_aes_256, CipherSuite::gcm_aes_128};
  mka.cak_padding = CakPadding::right_zero;
}

void azure_check(const Line& line, const Path& path, Report& report) {
  need_macsec(line, path, report);
  need_link_speed(line, path, report, "Azure");
  need_cloud_settings(line, path, report, "Azure");
  if (line.link_speed != LinkSpeed::unknown && line.link_speed <= LinkSpeed::g10)
    need_suites(line, path, report, {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_256},
                "Azure has no XPN suites on ports of 10G", "gcm-aes-256, gcm-aes-128");
  each_mka(line, path, report, [&](const Mka& mka, const Path& mka_path) {
    if (mka.keys.size() > 1)
      refuse(report, mka_path + "keys",
             "Azure takes one CAK/CKN pair for each link: to change it, change one link at a time",
             "one key");
  });
}

// --- AWS Direct Connect --------------------------------------------------------------------------

void aws_macsec(Macsec& macsec) { macsec.include_sci = true; }

void aws_mka(Mka& mka, LinkSpeed speed) {
  mka.suites = {CipherSuite::gcm_aes_xpn_256};
  if (speed == LinkSpeed::g10) mka.suites.push_back(CipherSuite::gcm_aes_256);
}

void aws_check(const Line& line, const Path& path, Report& report) {
  need_macsec(line, path, report);
  need_link_speed(line, path, report, "AWS");
  need_cloud_settings(line, path, report, "AWS");
  if (line.link_speed != LinkSpeed::unknown && line.link_speed < LinkSpeed::g10)
    refuse(report, path + "link-speed", "AWS has MACsec on 10G, 100G and 400G only",
           "10G, 100G or 400G");
  if (line.link_speed > LinkSpeed::g10)
    need_suites(line, path, report, {CipherSuite::gcm_aes_xpn_256},
                "AWS has this suite not on ports above 10G", "gcm-aes-xpn-256");
  else
    need_suites(line, path, report, {CipherSuite::gcm_aes_256, CipherSuite::gcm_aes_xpn_256},
                "AWS has suites of 256 bits only", "gcm-aes-xpn-256, gcm-aes-256");
  if (line.macsec && !line.macsec->include_sci)
    refuse(report, path + "macsec" + "include-sci", "AWS requires the SCI", "true");
  each_mka(line, path, report, [&](const Mka& mka, const Path& mka_path) {
    if (mka.keys.size() > 3)
      refuse(report, mka_path + "keys", "AWS takes up to three keys", "three keys at most");
    for (const MkaKey& key : mka.keys) {
      const Path key_path = mka_path + "keys" + key.name;
      if (!key.ckn.empty() && key.ckn.size() != 32)
        refuse(report, key_path + "ckn",
               fmt::format("AWS takes a CKN of 64 digits, this has {}", 2 * key.ckn.size()),
               "32 octets");
      if (!key.cak.bytes.empty() && key.cak.bytes.size() != 32)
        refuse(report, key_path + "cak", "AWS takes a CAK of 64 digits", "32 octets");
    }
  });
}

// --- Linux with wpa_supplicant -------------------------------------------------------------------

void linux_mka(Mka& mka, LinkSpeed) { mka.suites = {CipherSuite::gcm_aes_128}; }

void linux_check(const Line& line, const Path& path, Report& report) {
  need_macsec(line, path, report);
  if (!line.macsec) return;
  if (line.macsec->confidentiality_offset != 0)
    refuse(report, path + "macsec" + "confidentiality-offset",
           "Linux has no confidentiality offset", "0");
  if (line.macsec->vlan_in_clear != 0)
    refuse(report, path + "macsec" + "vlan-in-clear",
           "Linux takes no VLAN tags ahead of the SecTAG", "0");
  each_mka(line, path, report, [&](const Mka& mka, const Path& mka_path) {
    if (std::any_of(mka.suites.begin(), mka.suites.end(), is_xpn))
      refuse(report, mka_path + "suites", "wpa_supplicant cannot agree on XPN suites",
             "gcm-aes-128, gcm-aes-256");
    if (mka.keys.size() > 1 || mka.fallback)
      refuse(report, mka_path + (mka.keys.size() > 1 ? "keys" : "fallback"),
             "wpa_supplicant has one CAK and no fallback", "one key");
  });
}

void keep(Macsec&) {}

}  // namespace

const std::vector<Profile>& all_profiles() {
  static const std::vector<Profile> profiles{
      {"azure-expressroute-direct", "Microsoft's edge of an ExpressRoute Direct port pair.",
       "MKA with one CAK/CKN pair for each link; short CAKs are filled with zeroes on the right; "
       "no "
       "XPN on 10G ports; everything encrypted, VLAN tags too.",
       keep, azure_mka, azure_check},
      {"aws-direct-connect", "Amazon's edge of a dedicated Direct Connect.",
       "MKA with up to three keys of 64 digits, CKN and CAK; SCI in every frame; gcm-aes-xpn-256, "
       "on "
       "10G also gcm-aes-256; VLAN tags encrypted.",
       aws_macsec, aws_mka, aws_check},
      {"linux", "Linux's macsec driver with wpa_supplicant.",
       "MKA agrees on gcm-aes-128 (some builds gcm-aes-256), one CAK, no fallback; no "
       "confidentiality offset; no VLAN tags in clear. XPN works with static SAs only.",
       keep, linux_mka, linux_check},
  };
  return profiles;
}

const Profile* find_profile(std::string_view name) {
  for (const Profile& profile : all_profiles())
    if (profile.name == name) return &profile;
  return nullptr;
}

Scalar<std::string> profile_name() {
  std::vector<std::pair<std::string_view, std::string>> names;
  for (const Profile& profile : all_profiles()) names.emplace_back(profile.name, profile.name);
  return scalar::choice<std::string>(std::move(names));
}

}  // namespace sealwire::config
