// Cycles per packet of the real lanes on one core, with the I/O floor and the crypto cost of the
// same run beside them. Packets come from memory and are warm in the cache. What ingress opens was
// sealed just before by the peer's egress, with increasing numbers; that is not timed.
#include <fmt/format.h>
#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_version.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <span>

#include "crypto/engines/auto.h"
#include "perf/pipeline/best_crypto.h"
#include "perf/pipeline/direct_crypto.h"
#include "perf/pipeline/in_turn.h"
#include "perf/pipeline/latency.h"
#include "perf/pipeline/one_core.h"
#include "perf/pipeline/rekey.h"
#include "perf/pipeline/site.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {
namespace {

constexpr int kNoRow = 3;  // exit code: --only matches nothing
constexpr std::size_t kRuns = 7;
constexpr unsigned kSas[] = {1, 64, 4096, 100'000};
constexpr unsigned kSasOfFull = 100'000;  // only in the full suite
constexpr double kNear = 250;             // cycles of a hop between cores that are near

// With several SAs: the greatest cycles in proportion to one SA's.
double goal_of_sas(unsigned sas) { return sas > 4096 ? 2.2 : 1.4; }

struct StageRow {
  const char* name;
  Stages stages;
  double goal_small, goal_large;  // of crypto cost + floor at 64 B and above; 0: none
};
constexpr StageRow kStages[] = {{"[]", {false, false}, 0, 0},
                                {"[esp]", {true, false}, 1.0, 0.95},
                                {"[macsec]", {false, true}, 0.95, 0.93},
                                {"[esp, macsec]", {true, true}, 0, 0}};
constexpr std::uint16_t kSizes[] = {64, 128, 256, 512, 1024, 1420, 8900, 0};  // 0: IMIX

using crypto::Algorithm;
constexpr Algorithm kUsual = Algorithm::aes_gcm_128;
// Of ESP beside it.
constexpr Algorithm kOthers[] = {
    Algorithm::aes_gcm_256, Algorithm::chacha20_poly1305, Algorithm::aes_cbc_128_hmac_sha1_96,
    Algorithm::aes_cbc_128_hmac_sha256_128, Algorithm::aes_cbc_256_hmac_sha256_128};
constexpr std::uint16_t kSizesOfOthers[] = {64, 512, 1420, 0};
constexpr double kMostOverhead = 80;  // cycles over what the best code for them costs

using pipelines::CipherSuite;
constexpr CipherSuite kUsualSuite = CipherSuite::gcm_aes_128;
constexpr struct {
  CipherSuite suite;
  const char* name;
} kOtherSuites[] = {{CipherSuite::gcm_aes_256, "gcm-aes-256"},
                    {CipherSuite::gcm_aes_xpn_128, "gcm-aes-xpn-128"},
                    {CipherSuite::gcm_aes_xpn_256, "gcm-aes-xpn-256"}};

struct Ciphers {
  Algorithm esp = kUsual;
  CipherSuite macsec = kUsualSuite;
  std::string name = std::string(crypto::info(esp).name);
};

// The crypto of a burst by itself.
std::function<std::uint64_t()> crypto_of(const StageRow& row, const Ciphers& ciphers,
                                         const Sizes& sizes, bool ingress) {
  if (ciphers.esp == kUsual) {
    const bool long_keys = algorithm_of(ciphers.macsec) == Algorithm::aes_gcm_256;
    return [direct = std::make_shared<DirectCrypto>(long_keys), &row, &sizes, ingress] {
      return direct->burst(sizes, row.stages, ingress);
    };
  }
  const auto direction = ingress ? crypto::Direction::open : crypto::Direction::seal;
  return [best = std::make_shared<BestCrypto>(ciphers.esp, direction, sizes)] {
    return best->burst();
  };
}

nlohmann::json measure(const StageRow& row, unsigned sas, std::uint16_t size, bool ingress,
                       crypto::EngineFactory& factory, rte_mempool* pool, unsigned rounds,
                       const Ciphers& ciphers) {
  OneCore bench(
      {.stages = row.stages, .sas = sas, .algorithm = ciphers.esp, .suite = ciphers.macsec},
      factory, pool);
  const Sizes sizes = sizes_of(size);
  const auto packets = static_cast<double>(sizes.size()) * rounds;
  const auto warm = static_cast<unsigned>(4 * sas / sizes.size());  // bursts: most SAs met
  std::array<std::vector<double>, 3> runs;
  const std::function<std::uint64_t()> parts[] = {
      [&] { return ingress ? bench.pass(sizes).ingress : bench.seal(sizes); },
      [&] { return bench.floor(sizes); }, crypto_of(row, ciphers, sizes, ingress)};
  for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
    for (std::size_t part = 0; part < runs.size(); ++part) {
      std::uint64_t cycles = 0;
      const unsigned times = run == 0 && part == 0 ? std::max(rounds, warm) : rounds;
      for (unsigned i = 0; i < times; ++i) cycles += parts[part]();
      if (run != 0) runs[part].push_back(static_cast<double>(cycles) / packets);
    }
  }
  const Figure total = figure_of(runs[0]), floor = figure_of(runs[1]), crypto = figure_of(runs[2]);
  double octets = 0;
  for (const std::uint16_t s : sizes) octets += s;
  const double pps = static_cast<double>(rte_get_tsc_hz()) / total.median;
  nlohmann::json out = {{"workload", std::string("pipeline ") + row.name},
                        {"algorithm", row.stages.esp || row.stages.macsec ? ciphers.name : "none"},
                        {"size", size == 0 ? nlohmann::json("IMIX") : nlohmann::json(size)},
                        {"direction", ingress ? "ingress" : "egress"},
                        {"cores", 1},
                        {"sas", row.stages.esp || row.stages.macsec ? sas : 0},
                        {"cycles_per_packet", total.median},
                        {"spread", total.spread},
                        {"io_floor", floor.median},
                        {"crypto", crypto.median},
                        {"overhead", total.median - floor.median - crypto.median},
                        {"mpps", pps / 1e6},
                        {"gbps", pps * octets / static_cast<double>(sizes.size()) * 8 / 1e9}};
  if (ciphers.esp != kUsual) {
    out["goal"] = kMostOverhead;
    out["goal_of"] = "cycles over the crypto";
    out["ratio"] = out["overhead"];
  } else if (const double goal = size == 64 ? row.goal_small : row.goal_large;
             sas == 1 && goal != 0 && ciphers.macsec == kUsualSuite) {
    out["goal"] = goal;  // of (total - floor) / crypto
    out["ratio"] = (total.median - floor.median) / crypto.median;
  }
  return out;
}

/// perf/run adds what it knows without us.
nlohmann::json machine(bool huge) {
  return {{"tsc_hz", rte_get_tsc_hz()},
          {"hugepages", huge},
          {"libraries", {{"dpdk", rte_version()}, {"ipsec-mb", imb_get_version_str()}}}};
}

void print_head() {
  std::printf("%-44s %6s %8s %7s %7s %7s %9s %7s %7s  %s\n", "row", "sas", "cycles", "spread",
              "floor", "crypto", "overhead", "Mpps", "Gbit/s", "(total - floor) / crypto (goal)");
}

void print(const std::string& name, const nlohmann::json& r) {
  const auto of = [&r](const char* field) { return r[field].get<double>(); };
  std::printf("%-44s %6u %8.0f %6.1f%% %7.0f %7.0f %9.0f %7.2f %7.2f", name.c_str(),
              r["sas"].get<unsigned>(), of("cycles_per_packet"), 100 * of("spread"), of("io_floor"),
              of("crypto"), of("overhead"), of("mpps"), of("gbps"));
  if (r.contains("goal"))
    std::printf("  %.2f (%.2f) %s", of("ratio"), of("goal"), r.value("goal_of", "").c_str());
  std::printf("\n");
  std::fflush(stdout);
}

constexpr unsigned kMemory = 256;  // MiB

bool hugepages() {
  unsigned free = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> free;
  return free * 2 > kMemory;
}

/// The first two cores that this process may use, or the only one.
std::vector<unsigned> two_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> cores;
  for (unsigned core = 0; core < CPU_SETSIZE && cores.size() < 2; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void start_eal(bool huge, const std::vector<unsigned>& cores) {
  std::vector<std::string> words{"sealwire_bench",
                                 "--no-pci",
                                 huge ? "--in-memory" : "--no-huge",
                                 "--no-shconf",
                                 "-m",
                                 std::to_string(kMemory),
                                 "-l",
                                 fmt::format("{}", fmt::join(cores, ",")),
                                 "--no-telemetry",
                                 "--log-level=lib.*:error"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error("EAL does not start");
}

struct Options {
  std::string only, file, commit = "unknown", engine = "auto";
  unsigned rounds = 500;
  bool full = false;
  std::vector<unsigned> sas;
};

std::string name_of(const StageRow& row, bool ingress, std::uint16_t size) {
  return std::string(row.name) + (ingress ? " ingress " : " egress ") +
         (size == 0 ? "IMIX" : std::to_string(size));
}

/// The rows that are wanted, printed as they come.
class Suite {
 public:
  Suite(const Options& options, rte_mempool* pool)
      : options_(options),
        wanted_(options.only),
        pool_(pool),
        factory_(need(crypto::make_software_factory(options.engine))) {}

  void one_core() {
    for (const StageRow& row : kStages)
      for (const unsigned sas : kSas)
        if (with_sas(row, sas))
          for (const std::uint16_t size : kSizes)
            if (sas == 1 ? options_.full || size == 256 || is_usual(size) : is_usual(size))
              for (const bool ingress : {false, true}) one_core(row, sas, size, ingress);
  }

  /// What is not GCM-128.
  void other_ciphers() {
    if (!options_.sas.empty() && !contains(options_.sas, 1U)) return;
    for (const Algorithm algorithm : kOthers)
      for (const std::uint16_t size : kSizesOfOthers)
        for (const bool ingress : {false, true})
          if (options_.full ||
              ((size == 64 || size == 1420) && algorithm != Algorithm::aes_gcm_256))
            other_cipher(kStages[1], {.esp = algorithm}, size, ingress);
    for (const auto& [suite, name] : kOtherSuites)
      for (const std::uint16_t size : kSizesOfOthers)
        for (const bool ingress : {false, true})
          if (options_.full || (size == 64 && !ingress))
            other_cipher(kStages[2], {.macsec = suite, .name = name}, size, ingress);
  }

  /// One SA over one core and two, in turn.
  void in_turn(std::span<const unsigned> lcores) {
    if (!options_.sas.empty() && !contains(options_.sas, 1U)) return;
    bool first = true;
    for (const StageRow& row : kStages) {
      if (row.stages.esp == row.stages.macsec) continue;
      for (const bool ingress : {false, true})
        for (const Spread spread : {Spread::shared_queue, Spread::own_queues})
          for (const std::uint16_t size : kSizes) {
            const std::string name =
                name_of(row, ingress, size) +
                (spread == Spread::own_queues ? " 2 own queues" : " 2 in turn");
            if (!is_usual(size) || (ingress && spread == Spread::own_queues) ||
                !std::regex_search(name, wanted_))
              continue;
            if (first) print_in_turn_head();
            first = false;
            in_turn(name, row, ingress, spread, size, lcores);
          }
    }
  }

  /// Time that egress adds on one core while the other brings packets, at shares of what it can.
  void latencies(std::span<const unsigned> lcores) {
    bool first = true;
    for (const StageRow& row : kStages)
      for (const std::uint16_t size : std::initializer_list<std::uint16_t>{64, 1420}) {
        const std::string name = name_of(row, false, size) + " latency";
        if (row.stages.esp == row.stages.macsec || !std::regex_search(name, wanted_)) continue;
        if (first)
          fmt::print("\n{:<36} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "row", "load", "p50 us",
                     "p99", "p99.9", "late", "missed");
        first = false;
        // What this core and the worker reach together, when packets are always due.
        const double full =
            latency_of(row.stages, size, 1, lcores[1], *factory_, many_packets()).cycles;
        for (const double load : {0.1, 0.5, 0.8})
          latency(name, row, size, load, full / load, lcores[1]);
      }
  }

  /// Of ESP.
  void rekeys(std::span<const unsigned> lcores) {
    const auto hertz = static_cast<double>(rte_get_tsc_hz());
    if (const std::string name = "[esp] install"; std::regex_search(name, wanted_)) {
      const InstallCycles cycles = install_cycles(*factory_, pool_);
      fmt::print(
          "\n{:<36} outbound {:.0f} cycles ({:.0f} a second), inbound {:.0f} ({:.0f} a second)\n",
          name, cycles.outbound.median, hertz / cycles.outbound.median, cycles.inbound.median,
          hertz / cycles.inbound.median);
      for (const auto& [direction, figure] :
           {std::pair{"egress", cycles.outbound}, std::pair{"ingress", cycles.inbound}})
        rows_.push_back({{"workload", "install SA"},
                         {"algorithm", "aes-gcm-128"},
                         {"direction", direction},
                         {"cores", 1},
                         {"cycles_per_sa", figure.median},
                         {"spread", figure.spread},
                         {"per_second", hertz / figure.median}});
    }
    const std::string name = "[esp] 1420 1000 SAs, 1000 rekeys/s";
    if (lcores.size() != 2 || !std::regex_search(name, wanted_)) return;
    const RekeyLoad r = rekey_under_load(1000, lcores[1], sizes_of(1420), *factory_, pool_);
    fmt::print(
        "{:<36} {:.0f} rekeys a second: {:.0f} cycles for both ways, {:.0f} without; {:.1f} % less "
        "throughput (2.0), none lost; spread {:.1f} and {:.1f} %\n",
        name, r.per_second, r.rekeying.median, r.still.median, 100 * r.loss,
        100 * r.rekeying.spread, 100 * r.still.spread);
    rows_.push_back({{"workload", "rekey under load"},
                     {"algorithm", "aes-gcm-128"},
                     {"size", 1420},
                     {"direction", "both"},
                     {"cores", 1},
                     {"sas", 1000},
                     {"cycles_per_packet", r.rekeying.median},
                     {"spread", r.rekeying.spread},
                     {"without", r.still.median},
                     {"per_second", r.per_second},
                     {"loss", r.loss},
                     {"goal", 0.02}});
  }

  const nlohmann::json& rows() const { return rows_; }

 private:
  using Spread = pipelines::Spread;

  template <class T>
  static bool contains(const std::vector<T>& all, const T& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  }
  static bool is_usual(std::uint16_t size) { return size == 0 || size == 64 || size == 1420; }

  rte_mempool* many_packets() {
    if (many_packets_ == nullptr)
      many_packets_ =
          rte_pktmbuf_pool_create("many", kInTurnSlots - 1, 256, 0, 2304, SOCKET_ID_ANY);
    if (many_packets_ == nullptr) throw std::runtime_error("no memory for packets");
    return many_packets_;
  }

  bool with_sas(const StageRow& row, unsigned sas) const {
    if (sas > 1 && (!row.stages.esp || row.stages.macsec)) return false;
    return options_.sas.empty() ? sas != kSasOfFull || options_.full : contains(options_.sas, sas);
  }

  nlohmann::json measured(const StageRow& row, unsigned sas, std::uint16_t size, bool ingress,
                          const Ciphers& ciphers = {}) {
    return measure(row, sas, size, ingress, *factory_, pool_, options_.rounds, ciphers);
  }

  void one_core(const StageRow& row, unsigned sas, std::uint16_t size, bool ingress) {
    const std::string one = name_of(row, ingress, size);
    const std::string name = sas == 1 ? one : one + " " + std::to_string(sas) + " SAs";
    if (!std::regex_search(name, wanted_)) return;
    if (rows_.empty()) print_head();
    nlohmann::json r = measured(row, sas, size, ingress);
    if (sas == 1) one_sa_[one] = r["cycles_per_packet"];
    if (sas > 1) {
      if (!one_sa_.contains(one))
        one_sa_[one] = measured(row, 1, size, ingress)["cycles_per_packet"];
      r["goal"] = goal_of_sas(sas);
      r["goal_of"] = "of one SA";
      r["ratio"] = r["cycles_per_packet"].get<double>() / one_sa_[one];
    }
    print(name, r);
    rows_.push_back(r);
  }

  void other_cipher(const StageRow& row, const Ciphers& ciphers, std::uint16_t size, bool ingress) {
    const std::string name = name_of(row, ingress, size) + " " + ciphers.name;
    if (!std::regex_search(name, wanted_)) return;
    if (rows_.empty()) print_head();
    rows_.push_back(measured(row, 1, size, ingress, ciphers));
    print(name, rows_.back());
  }

  static void print_in_turn_head() {
    std::printf("\n%-36s %8s %8s %7s %8s %13s %6s %22s %s\n", "row", "one core", "two", "spread",
                "Mpps", "times (goal)", "hop", "turns: rx, number, tx",
                "predicted times with 4, 8, 16 cores");
  }

  void in_turn(const std::string& name, const StageRow& row, bool ingress, Spread spread,
               std::uint16_t size, std::span<const unsigned> lcores) {
    const Sizes sizes = sizes_of(size);
    InTurn alone(row.stages, Spread::alone, lcores.first(1), *factory_, many_packets());
    InTurn shared(row.stages, spread, lcores, *factory_, many_packets());
    std::vector<double> one, two, hops;
    for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
      const double of_one = alone.run(sizes, ingress), of_two = shared.run(sizes, ingress);
      hops.push_back(hop_to(lcores[1]));
      if (run == 0) continue;
      one.push_back(of_one);
      two.push_back(of_two);
    }
    const double before = figure_of(one).median, hop = figure_of(hops).median;
    const Figure wall = figure_of(two);
    const TurnTimes turns = shared.turn_times(ingress);
    const auto hertz = static_cast<double>(rte_get_tsc_hz());
    double octets = 0;
    for (const std::uint16_t s : sizes) octets += s;
    nlohmann::json r = measured(row, 1, size, ingress);  // for its floor and crypto
    r["workload"] = "pipeline " + std::string(row.name) +
                    (spread == Spread::own_queues ? " own queues" : " in turn");
    r["cores"] = 2;
    r["cycles_per_packet"] = 2 * wall.median;
    r["spread"] = wall.spread;
    r["overhead"] = 2 * wall.median - r["io_floor"].get<double>() - r["crypto"].get<double>();
    r["mpps"] = hertz / wall.median / 1e6;
    r["gbps"] = hertz / wall.median * octets / static_cast<double>(sizes.size()) * 8 / 1e9;
    r["ratio"] = before / wall.median;
    r["hop"] = hop;
    r["turns"] = {{"receive", turns.receive}, {"number", turns.number}, {"send", turns.send}};
    // Every burst passes its turns one after the other, each with a hop from the worker before.
    const double least = turns.longest() + hop / pipelines::kBurstPackets;
    for (const unsigned cores : {4U, 8U, 16U})
      r["predicted"][std::to_string(cores)] = before / std::max(2 * wall.median / cores, least);
    r["goal"] = goal_of_two(size, ingress, spread, hop);
    print_in_turn(name, before, r);
    rows_.push_back(r);
  }

  void latency(const std::string& name, const StageRow& row, std::uint16_t size, double load,
               double interval, unsigned lcore) {
    const Latency l = latency_of(row.stages, size, interval, lcore, *factory_, many_packets());
    fmt::print("{:<36} {:5.0f}% {:8.2f} {:8.2f} {:8.2f} {:7.2f}% {:7.2f}%\n", name, 100 * load,
               l.p50, l.p99, l.p999, 100 * l.late, 100 * l.missed);
    std::fflush(stdout);
    const double pps = static_cast<double>(rte_get_tsc_hz()) / interval;
    rows_.push_back({{"workload", "latency " + std::string(row.name)},
                     {"algorithm", "aes-gcm-128"},
                     {"size", size},
                     {"direction", "egress"},
                     {"cores", 1},
                     {"sas", 1},
                     {"load", load},
                     {"mpps", pps / 1e6},
                     {"gbps", pps * size * 8 / 1e9},
                     {"p50_us", l.p50},
                     {"p99_us", l.p99},
                     {"p999_us", l.p999},
                     {"late", l.late},
                     {"missed", l.missed},
                     {"interval", interval}});
  }

  // Of ingress stated after it was measured.
  static double goal_of_two(std::uint16_t size, bool ingress, Spread spread, double hop) {
    const bool near = hop < kNear, small = size == 64;
    if (ingress) return small ? (near ? 1.6 : 1.35) : (near ? 1.7 : 1.55);
    if (!small) return near ? 1.85 : 1.7;
    if (near) return 1.75;
    return spread == Spread::own_queues ? 1.65 : 1.45;
  }

  static void print_in_turn(const std::string& name, double before, const nlohmann::json& r) {
    const auto of = [](const nlohmann::json& v) { return v.get<double>(); };
    const std::string times = fmt::format("{:.2f} ({:.2f})", of(r["ratio"]), of(r["goal"]));
    const auto& turns = r["turns"];
    const auto& predicted = r["predicted"];
    fmt::print(
        "{:<36} {:8.0f} {:8.1f} {:6.1f}% {:8.2f} {:>13} {:6.0f} {:>22} {:.1f}, {:.1f}, {:.1f}\n",
        name, before, of(r["cycles_per_packet"]) / 2, 100 * of(r["spread"]), of(r["mpps"]), times,
        of(r["hop"]),
        fmt::format("{:.1f}, {:.1f}, {:.1f}", of(turns["receive"]), of(turns["number"]),
                    of(turns["send"])),
        of(predicted["4"]), of(predicted["8"]), of(predicted["16"]));
    std::fflush(stdout);
  }

  const Options& options_;
  const std::regex wanted_;
  rte_mempool* const pool_;
  rte_mempool* many_packets_ = nullptr;
  const std::unique_ptr<crypto::EngineFactory> factory_;
  nlohmann::json rows_ = nlohmann::json::array();
  std::map<std::string, double> one_sa_;  // cycles
};

int run(int argc, char** argv) {
  CLI::App app{"Cycles per packet of Sealwire's lanes, packets from memory"};
  Options options;
  app.add_option("--only", options.only, "rows whose name matches this expression");
  app.add_option("--json", options.file, "write the rows to this file");
  app.add_option("--commit", options.commit, "what was built, for the JSON");
  app.add_option("--engine", options.engine, "auto, batch-gcm, ipsec-mb or openssl");
  app.add_option("--rounds", options.rounds, "bursts per run")->check(CLI::PositiveNumber);
  app.add_option("--sas", options.sas, "only rows of so many SAs; all but 100000 are usual")
      ->check(CLI::IsMember(std::vector<unsigned>(std::begin(kSas), std::end(kSas))))
      ->delimiter(',');
  app.add_flag("--full", options.full, "every size, 100000 SAs");
  CLI11_PARSE(app, argc, argv);

  const bool huge = hugepages();
  const std::vector<unsigned> cores = two_cores();
  start_eal(huge, cores);
  rte_mempool* pool = rte_pktmbuf_pool_create("frames", 1023, 256, 0, 10240, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error("no memory for packets");
  Suite suite(options, pool);
  suite.one_core();
  suite.other_ciphers();
  if (cores.size() == 2) suite.in_turn(cores);
  if (cores.size() == 2) suite.latencies(cores);
  suite.rekeys(cores);
  if (suite.rows().empty()) {
    fmt::print("no row of the lanes matches {}\n", options.only);
    return kNoRow;
  }
  if (!options.file.empty()) {
    std::ofstream out(options.file);
    out << nlohmann::json{{"machine", machine(huge)},
                          {"commit", options.commit},
                          {"engine", options.engine},
                          {"rows", suite.rows()}}
               .dump(1)
        << '\n';
    if (!out.flush()) throw std::runtime_error("cannot write " + options.file);
  }
  if (!huge)
    std::printf(
        "without hugepages: sysctl vm.nr_hugepages=200 makes packets some 15 cycles cheaper\n");
  return 0;
}

}  // namespace
}  // namespace sealwire::perf

int main(int argc, char** argv) try {
  return sealwire::perf::run(argc, argv);
} catch (const std::exception& e) {
  std::fprintf(stderr, "sealwire_bench: %s\n", e.what());
  return 1;
}
