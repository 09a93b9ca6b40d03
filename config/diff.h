#pragma once

// What changed from one document to the next.

#include <string>
#include <vector>

#include "config/model.h"

namespace sealwire::config {

enum class Change : std::uint8_t { added, changed, removed };

struct Difference {
  Change change;
  std::string
      kind;  // "system", "port", "line", "sa", "policies", "gateway", "macsec", "secy", "mka"
  std::string line;  // name of the line, empty for system and port
  std::string name;  // of the port, line, SA or outside port; for system: the setting
};

struct Diff {
  std::vector<Difference> live;           // `sealwire reload` applies these while traffic flows
  std::vector<Difference> needs_restart;  // these take a new start of the daemon
  bool empty() const { return live.empty() && needs_restart.empty(); }
};

// Rules: system, ports, and a line's stages, ports, engine, workers and profile need a restart, as
// does a line that comes or goes. SAs, policies, addresses and routes, SecYs, MACsec settings and
// MKA keys change live. A changed order of policies is a change of "policies".
Diff diff(const Document& old_document, const Document& new_document);

// "line site-a: sa a-to-b changed"
std::string to_string(const Difference& difference);

// Equality of everything but positions; keys are compared in constant time.
bool same(const Secret& a, const Secret& b);
bool same(const Port& a, const Port& b);
bool same(const EspSa& a, const EspSa& b);
bool same(const Policy& a, const Policy& b);
bool same(const Gateway& a, const Gateway& b);
bool same(const MacsecSa& a, const MacsecSa& b);
bool same(const ReceiveChannel& a, const ReceiveChannel& b);
bool same(const SecY& a, const SecY& b);  // with its own MKA
bool same(const MkaKey& a, const MkaKey& b);
bool same(const Mka& a, const Mka& b);
bool same_settings(const Macsec& a, const Macsec& b);  // neither SecYs nor MKA

// Whether going from a to b takes a restart although both lines exist: stages, ports, engine,
// workers.
bool needs_restart(const Line& a, const Line& b);

// Deep copies, where two owners are really meant (the copies hold their own locked secrets).
Secret clone(const Secret& secret);
EspSa clone(const EspSa& sa);
MacsecSa clone(const MacsecSa& sa);
ReceiveChannel clone(const ReceiveChannel& rx);
MkaKey clone(const MkaKey& key);
SecY clone(const SecY& secy);
Mka clone(const Mka& mka);
Macsec clone(const Macsec& macsec);
Line clone(const Line& line);

}  // namespace sealwire::config
