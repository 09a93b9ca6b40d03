// A KaY on the outside port of a line: configuration in, EAPOL frames between the workers' punt and
// inject rings and the core, events to the audit log, and `show mka`.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/control/line_control.h"
#include "app/control/mka/kay.h"
#include "app/control/mka/table_secy.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace sealwire::control {

/// A key of the configuration as the KaY takes it.
Result<mka::KeySettings> key_settings(const config::MkaKey& key, bool fallback);
/// The chain and the fallback key. Errors name the key by its path under `where`.
Result<std::vector<mka::KeySettings>> key_chain(const config::Mka& mka, const std::string& where);
/// Everything but the keys.
mka::KaySettings kay_settings(const config::Macsec& macsec, const config::Mka& mka, crypto::Sci sci,
                              const std::array<std::uint8_t, 6>& mac);

// Control thread only.
class KayRunner final : private mka::Environment, private mka::EventSink {
 public:
  /// Starts the KaY of one outside port of `line`, which has MKA there and outlives this. The port
  /// is blocked (or open in clear with should-secure) from here on until a SAK is in use.
  static Result<std::unique_ptr<KayRunner>> create(LineControl& line, std::size_t outside_port,
                                                   Engines& engines, Publisher& publisher);
  ~KayRunner() override;
  KayRunner(const KayRunner&) = delete;
  KayRunner& operator=(const KayRunner&) = delete;

  /// An EAPOL frame that was punted from this port. Takes the mbuf.
  void take(rte_mbuf* m, Clock::time_point now);
  /// Cheap when nothing is due.
  void tick(Clock::time_point now);
  /// All SAs go, the port is blocked. Before the workers end, so that nothing leaves after it.
  void shut_down();

  /// A reload in two steps: the chain that `mka` wants, which set_keys() cannot refuse, and taking
  /// it over; one sentence per key that came or went.
  Result<std::vector<mka::KeySettings>> prepare_keys(const config::Mka& mka) const;
  std::vector<std::string> set_keys(std::vector<mka::KeySettings> chain, Clock::time_point now);
  Result<void> add_key(const config::MkaKey& key, bool fallback, Clock::time_point now);
  /// By name or by CKN in hexadecimal digits.
  Result<void> retire_key(const std::string& name, Clock::time_point now);
  Result<void> rekey(Clock::time_point now);

  nlohmann::json show(Clock::time_point now) const;
  nlohmann::json keys() const;
  const std::string& line() const { return line_name_; }
  const std::string& port() const { return port_name_; }

 private:
  KayRunner(LineControl& line, std::size_t outside_port, Engines& engines, Publisher& publisher);

  bool random(std::span<std::uint8_t> out) override;
  std::int64_t wall_clock_ms() override;
  void send(std::span<const std::uint8_t> frame) override;
  void on_event(const mka::Event& event) override;
  std::string where() const { return "lines." + line_name_ + ".macsec.mka"; }

  std::string line_name_, port_name_;
  std::uint16_t port_index_;
  rte_mempool* pool_;
  rte_ring* inject_;
  TableSecy secy_;
  std::unique_ptr<mka::Kay> kay_;
  mka::Time next_{0};
  std::uint64_t not_sent_ = 0;  ///< no buffer, or the ring was full
};

}  // namespace sealwire::control
