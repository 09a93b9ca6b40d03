// One line as the control thread runs it: the tables behind it, the snapshot its workers see, and
// every change to them while traffic flows.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/control/engines.h"
#include "app/control/number_keeper.h"
#include "app/control/port.h"
#include "app/control/publisher.h"
#include "config/model.h"
#include "crypto/result.h"
#include "pipelines/line.h"
#include "pipelines/stages/gateway.h"
#include "pipelines/tables/neighbours.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/secy.h"
#include "pipelines/tables/spd.h"

struct rte_ring;

namespace sealwire::control {

using Clock = std::chrono::steady_clock;
// The slow path's clock.
inline std::uint64_t milliseconds(Clock::time_point now) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
}

// What every line shares. References outlive the lines.
struct LineContext {
  Engines& engines;
  Publisher& publisher;
  NumberKeeper& numbers;
};

class LineControl {
 public:
  struct Place {
    std::uint16_t id = 0;                   // index of the line, stable
    std::vector<OpenPort> inside, outside;  // in the configured order
    rte_mempool* pool = nullptr;            // for what the line itself makes
    pipelines::Spread egress{}, ingress{};
  };

  // Builds tables, installs all static SAs and publishes the first snapshot. Numbers of static keys
  // are on disk before this returns.
  // `line` belongs to the running document, outlives this, and is kept as it runs.
  static Result<std::unique_ptr<LineControl>> create(config::Line& line, Place place,
                                                     LineContext context);
  ~LineControl();  // no worker may run any more
  LineControl(const LineControl&) = delete;
  LineControl& operator=(const LineControl&) = delete;

  const config::Line& config() const { return line_; }
  const Place& place() const { return place_; }
  pipelines::LineDirection& direction(pipelines::Direction d) {
    return d == pipelines::Direction::egress ? *egress_ : *ingress_;
  }
  const pipelines::LineSnapshot& snapshot() const { return published_->snapshot; }
  pipelines::Sad* sad() { return sad_.get(); }
  pipelines::Neighbours& neighbours() { return *neighbours_; }
  pipelines::Secy* secy(std::size_t outside_port) {
    return outside_port < secys_.size() ? secys_[outside_port].get() : nullptr;
  }
  std::size_t secy_count() const { return secys_.size(); }

  // Fail closed: with `secure` false everything toward outside is dropped as Unsealed.
  void set_secure(bool secure);

  // Called with each new snapshot, once it is published: the slow path follows it.
  void on_publish(std::function<void(const pipelines::LineSnapshot&)> follow);

  // ---- ESP at run time. Nothing changes on an error. ----
  Result<void> add_sas(std::vector<config::EspSa> sas);      // SW-CTL-010 name or SPI in use
  Result<void> replace_sas(std::vector<config::EspSa> sas);  // SW-CTL-011 no such SA
  Result<void> remove_sa(const std::string& name);           // SW-CTL-011 no such SA
  Result<void> set_policies(std::vector<config::Policy> policies);

  // ---- MACsec at run time: the static tx and rx of one SecY become those of `wanted`. ----
  Result<void> set_secy(std::size_t outside_port, config::SecY wanted);

  // ---- A change in three steps: prepare() and reserve() can fail and change nothing, commit()
  // cannot fail. So a change of several lines is made as a whole or not at all. ----

  // What commit() puts in place: SAs with their keys, policies. Dropped, it leaves no trace.
  class Change;
  // The difference between the line and `wanted`. Refused (SW-CTL-020) when it needs a restart.
  Result<Change> prepare(config::Line wanted);
  // One durable write of the numbers that all of them need. Comes last, so that changes that are
  // refused use up no numbers.
  static Result<void> reserve(NumberKeeper& numbers, std::span<Change> changes);
  // One sentence per change made.
  std::vector<std::string> commit(Change&& change);
  // What of `wanted` cannot be changed while running, as key paths; empty: prepare() may be called.
  std::vector<std::string> needs_restart(const config::Line& wanted) const;

  // Lifetimes by time, removed and replaced SAs, events of the SAD. `say` gets one line per event.
  void tick(Clock::time_point now, const std::function<void(const std::string&)>& say);

  // ---- for `show` ----
  struct SaEntry {
    const config::EspSa* config = nullptr;
    std::uint64_t cookie = 0;
    pipelines::OutboundSlot* slot = nullptr;  // outbound
    pipelines::InboundSa* inbound = nullptr;  // inbound
    bool lingering = false;
    Clock::time_point installed{};
    std::string state() const;
  };
  std::vector<SaEntry> sas() const;

 private:
  struct Published {
    pipelines::LineSnapshot snapshot;
    std::shared_ptr<const pipelines::Spd> spd;
    std::shared_ptr<const pipelines::Gateway> gateway;
  };
  struct Sa {
    config::EspSa config;
    std::uint64_t cookie = 0;
    pipelines::OutboundSlot* slot = nullptr;
    pipelines::InboundSa* inbound = nullptr;
    std::optional<NumberKeeper::Ticket> numbers{};
    Clock::time_point installed{};
    bool soft_said = false;
  };
  struct Lingering {
    Sa sa;
    Clock::time_point until{};
  };
  // A removed outbound SA stays in its slot while a worker may be amid a burst with policies that
  // were replaced: they may name it.
  struct Leaving {
    pipelines::OutboundSlot* slot;
    std::weak_ptr<const Published> replaced;
  };

  LineControl(config::Line& line, Place place, LineContext context);
  Result<void> build();
  Result<void> make_rings();
  Result<void> check_sas(const std::vector<config::EspSa>& sas,
                         const std::vector<std::string>& removed) const;
  Result<void> add_to(Change& change, std::vector<config::EspSa> sas);
  Result<void> add_to(Change& change, std::size_t port, config::SecY wanted);
  Result<void> make(Change change);  // reserve() and commit()
  void install_sas(Change& change);
  void install_secy(std::size_t port, Change& change);
  void install_rest(Change& change, config::Line&& wanted);
  void forget_sa(const std::string& name);
  tl::unexpected<Error> spi_in_use(const config::EspSa& sa) const;
  void retire_sa(Sa& sa);
  void note_sa(const config::EspSa& sa);
  Result<std::shared_ptr<const pipelines::Spd>> build_spd(
      const std::vector<config::Policy>& policies);
  std::shared_ptr<const pipelines::Gateway> build_gateway(const config::Gateway& gateway);
  std::vector<std::uint16_t> nat_t_ports() const;
  void follow_nat_t_ports();
  void publish(std::shared_ptr<const pipelines::Spd> spd,
               std::shared_ptr<const pipelines::Gateway> gateway, bool secure);
  Sa* find_sa(const std::string& name);
  const Sa* find_sa(const std::string& name) const;
  std::string where() const { return "lines." + line_.name; }

  config::Line& line_;
  Place place_;
  LineContext context_;
  std::unique_ptr<pipelines::LineDirection> egress_, ingress_;
  std::vector<rte_ring*> rings_;
  std::vector<std::unique_ptr<pipelines::Secy>> secys_;
  std::map<std::pair<std::size_t, std::uint8_t>, NumberKeeper::Ticket> secy_numbers_;
  std::unique_ptr<pipelines::Neighbours> neighbours_;
  std::unique_ptr<pipelines::Sad> sad_;
  std::map<std::string, pipelines::OutboundSlot*> slots_;  // by SA name, kept for ever
  std::map<std::string, Sa> sas_;
  std::vector<Lingering> lingering_;
  std::vector<Leaving> leaving_;
  std::uint64_t next_cookie_ = 1;
  std::shared_ptr<Published> published_;
  std::weak_ptr<const Published> replaced_;  // by published_; expired when no worker sees it
  std::function<void(const pipelines::LineSnapshot&)> follow_;
};

class LineControl::Change {
  friend class LineControl;

  struct NewSa {
    Sa sa;
    std::unique_ptr<pipelines::OutboundSa> out{};
    std::unique_ptr<pipelines::InboundSa> in{};
    std::size_t number = 0;  // of its grant, outbound
  };
  struct NewSecy {
    config::SecY config;
    struct Tx {
      std::unique_ptr<pipelines::TransmitSa> sa;
      std::size_t number = 0;
    };
    std::vector<Tx> tx;
    std::vector<std::unique_ptr<pipelines::ReceiveSa>> rx;
  };
  std::vector<NewSa> sas;                     // in the order of installation
  std::vector<std::string> removed;           // SAs
  std::map<std::size_t, NewSecy> secys;       // by outside port
  std::shared_ptr<const pipelines::Spd> spd;  // null: the policies stay
  std::optional<config::Line> line;           // of prepare(): what needs no preparation is in it
  std::vector<NumberKeeper::Want> wants;
  std::vector<NumberKeeper::Grant> grants;  // one per want
  std::vector<std::string> done;
};

}  // namespace sealwire::control
