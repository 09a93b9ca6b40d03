// The appliance's part in MKA: which KaY a frame or a request is for.
#include <fmt/format.h>

#include "app/control/appliance.h"
#include "config/text.h"
#include "pipelines/mark.h"

namespace sealwire::control {
namespace {

using nlohmann::json;

std::string string_of(const json& params, const char* key) {
  const auto found = params.find(key);
  return found != params.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// A key as `keys add` sends it. Wiping the request is the API server's.
Result<config::MkaKey> key_of(const json& params) {
  config::MkaKey key;
  key.name = string_of(params, "name");
  if (key.name.empty()) return fail("SW-API-009", "the key has no name");
  const auto ckn = config::parse_hex(string_of(params, "ckn"));
  if (!ckn || ckn->empty() || ckn->size() > 32) {
    return fail("SW-MKA-008", "the CKN is not 1 to 32 octets in hexadecimal digits");
  }
  key.ckn = *ckn;
  auto cak = crypto::SecretBytes::from_hex(string_of(params, "cak"));
  if (!cak || (cak->size() != 16 && cak->size() != 32)) {
    return fail("SW-MKA-001", "the CAK is not 16 or 32 octets in hexadecimal digits");
  }
  key.cak.bytes = std::move(*cak);
  for (const auto& [name, place] : {std::pair("start", &key.start), std::pair("end", &key.end)}) {
    const std::string text = string_of(params, name);
    if (text.empty()) continue;
    const auto time = config::parse_time(text);
    if (!time) {
      return fail("SW-API-009", fmt::format("{} is no time", name), "2027-01-08T00:00:00Z");
    }
    *place = *time;
  }
  return key;
}

}  // namespace

bool Appliance::give_to_kay(LineControl& line, rte_mbuf* m) {
  const auto mark = pipelines::get_mark<pipelines::PuntMark>(m);
  if (mark.magic != pipelines::PuntMark::kMagic || mark.reason != pipelines::PuntReason::eapol) {
    return false;
  }
  for (const KayPlace& place : kays_) {
    if (place.line != &line || place.outside_port != mark.in_port || !mark.from_outside) continue;
    place.kay->take(m, Clock::now());
    return true;
  }
  return false;
}

Result<std::vector<KayRunner*>> Appliance::kays_of(const json& params) {
  const std::string line = string_of(params, "line"), port = string_of(params, "port");
  if (!line.empty()) {
    if (auto found = line_of(params); !found) return tl::unexpected(found.error());
  }
  std::vector<KayRunner*> all;
  for (const KayPlace& place : kays_) {
    if (!line.empty() && place.kay->line() != line) continue;
    if (!port.empty() && place.kay->port() != port) continue;
    all.push_back(place.kay.get());
  }
  if (all.empty() && !line.empty()) {
    return fail("SW-CTL-016",
                fmt::format("line {} has no MKA{}", line, port.empty() ? "" : " on port " + port));
  }
  return all;
}

Result<json> Appliance::show_mka(const json& params) {
  const auto kays = kays_of(params);
  if (!kays) return tl::unexpected(kays.error());
  json all = json::array();
  for (const KayRunner* kay : *kays) all.push_back(kay->show(Clock::now()));
  return json{{"kays", std::move(all)}};
}

Result<json> Appliance::show_keys(const json& params) {
  const auto kays = kays_of(params);
  if (!kays) return tl::unexpected(kays.error());
  json all = json::array();
  for (const KayRunner* kay : *kays) {
    for (json& key : kay->keys()) all.push_back(std::move(key));
  }
  return json{{"keys", std::move(all)}};
}

// One chain per KaY.
Result<std::vector<std::vector<mka::KeySettings>>> Appliance::prepare_keys(
    const config::Document& wanted) const {
  std::vector<std::vector<mka::KeySettings>> chains;
  for (const KayPlace& place : kays_) {
    const config::Macsec& macsec = *config::find(wanted.lines, place.kay->line())->macsec;
    auto chain =
        place.kay->prepare_keys(*config::mka_of(macsec, macsec.secys.at(place.outside_port)));
    if (!chain) return tl::unexpected(chain.error());
    chains.push_back(std::move(*chain));
  }
  return chains;
}

Result<json> Appliance::change_keys(ApiRequest& request) {
  const auto kays = kays_of(request.params);
  if (!kays) return tl::unexpected(kays.error());
  const auto now = Clock::now();
  if (string_of(request.params, "line").empty()) {
    return fail("SW-API-006", "no line is named");
  }
  json done = json::array();
  for (KayRunner* kay : *kays) {
    const std::string place = kay->line() + "/" + kay->port();
    Result<void> result;
    std::string what;
    if (request.method == "rekey") {
      result = kay->rekey(now);
      what = "a fresh SAK is on its way";
    } else if (request.method == "keys.add") {
      const auto key = key_of(request.params);
      if (!key) return tl::unexpected(key.error());
      result = kay->add_key(*key, request.params.value("fallback", json(false)) == json(true), now);
      what = "key " + key->name + " added";
    } else if (request.method == "keys.retire") {
      const std::string name = string_of(request.params, "name");
      result = kay->retire_key(name, now);
      what = "key " + name + " retired";
    } else {
      return fail("SW-API-007", "no method " + request.method, "see docs/reference/api.md");
    }
    if (!result) {
      return fail(result.error().id, place + ": " + result.error().message, result.error().remedy);
    }
    done.push_back(place + ": " + what);
  }
  return json{{"done", std::move(done)}};
}

}  // namespace sealwire::control
