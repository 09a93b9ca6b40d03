// Cycles per packet of the real lanes on one core, with the I/O floor and the crypto cost of the
// same run beside them. Packets come from memory and are warm in the cache. What ingress opens was
// sealed just before by the peer's egress, with increasing numbers; that is not timed.
#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <regex>
#include <sstream>

#include "crypto/engines/auto.h"
#include "perf/pipeline/site.h"
#include "pipelines/wire/ip.h"

namespace sealwire::perf {
namespace {

using Sizes = std::vector<std::uint16_t>;  // octets of the frames of one burst before sealing

constexpr std::size_t kRuns = 7;
constexpr unsigned kSas[] = {1, 64, 4096, 100'000};
constexpr unsigned kSasOfFull = 100'000;  // only in the full suite

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

Sizes sizes_of(std::uint16_t size) {
  if (size != 0) return Sizes(pipelines::kBurstPackets, size);
  Sizes mix;
  for (std::size_t i = 0; i < 5; ++i)
    for (const int s : {576, 64, 576, 64, 1420, 576, 64, 576, 64, 576, 64, 576})
      mix.push_back(static_cast<std::uint16_t>(s));
  return mix;
}

/// UDP from site 1's inside to site 2's.
std::vector<std::uint8_t> frame_of(std::uint16_t size) {
  std::vector<std::uint8_t> f(size, 0x5a);
  constexpr std::uint8_t head[] = {2, 0xcc, 0,    0, 1, 1,  2,  0xaa, 0, 0, 1,  10,
                                   8, 0,    0x45, 0, 0, 0,  0,  1,    0, 0, 64, 17,
                                   0, 0,    10,   1, 0, 10, 10, 2,    0, 20};
  std::memcpy(f.data(), head, sizeof head);
  pipelines::wire::store_be(f.data() + 16, static_cast<std::uint16_t>(size - 14));
  pipelines::wire::set_ipv4_checksum(f.data() + 14, 20);
  return f;
}

struct Figure {
  double median = 0, spread = 0;  // spread: (largest - smallest) / median
};

Figure figure_of(std::vector<double> runs) {
  std::sort(runs.begin(), runs.end());
  const double median = runs[runs.size() / 2];
  return {median, median > 0 ? (runs.back() - runs.front()) / median : 0};
}

class Bench {
 public:
  Bench(const StageRow& row, unsigned sas, crypto::EngineFactory& factory, rte_mempool* pool)
      : pool_(pool),
        sas_(sas),
        a_(1, row.stages, sas, factory, pool),
        b_(2, row.stages, sas, factory, pool) {}

  /// Cycles of one burst through the lane.
  std::uint64_t lane(const Sizes& sizes, bool ingress) {
    put(a_.inside, sizes);
    const std::uint64_t sealing = pass(*a_.egress_lane, a_.outside.tx, sizes.size());
    move(a_.outside.tx, ingress ? b_.outside.rx : nullptr, sizes.size());
    if (!ingress) return sealing;
    const std::uint64_t opening = pass(*b_.ingress_lane, b_.inside.tx, sizes.size());
    move(b_.inside.tx, nullptr, sizes.size());
    return opening;
  }

  /// Cycles of one burst received and sent, and nothing else.
  std::uint64_t floor(const Sizes& sizes) {
    put(a_.inside, sizes);
    std::array<rte_mbuf*, pipelines::kBurstPackets> mbufs;
    const std::uint64_t start = rte_rdtsc();
    const std::uint16_t n = rte_eth_rx_burst(a_.inside.id, 0, mbufs.data(), mbufs.size());
    const std::uint16_t sent = rte_eth_tx_burst(a_.outside.id, 0, mbufs.data(), n);
    const std::uint64_t cycles = rte_rdtsc() - start;
    if (sent != sizes.size()) throw std::runtime_error("the floor lost packets");
    move(a_.outside.tx, nullptr, sizes.size());
    return cycles;
  }

 private:
  void put(MemoryPort& port, const Sizes& sizes) {
    for (const std::uint16_t size : sizes) {
      auto& frame = frames_[size];
      if (frame.empty()) frame = frame_of(size);
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      if (m == nullptr) throw std::runtime_error("the packet pool is empty");
      m->data_off = 256;
      char* const data = rte_pktmbuf_append(m, size);
      std::memcpy(data, frame.data(), size);
      if (sas_ > 1) come_from(host_address(hosts_(random_)), reinterpret_cast<std::uint8_t*>(data));
      if (rte_ring_enqueue(port.rx, m) != 0) throw std::runtime_error("the ring is full");
    }
  }

  static void come_from(std::uint32_t host, std::uint8_t* frame) {
    pipelines::wire::store_be(frame + 26, host);
    pipelines::wire::set_ipv4_checksum(frame + 14, 20);
  }

  static std::uint64_t pass(pipelines::Lane& lane, const rte_ring* sent, std::size_t count) {
    const std::uint64_t start = rte_rdtsc();
    for (int polls = 0; rte_ring_count(sent) < count; ++polls) {
      lane.poll(true);
      if (polls == 1000) {
        std::string text = "the lane dropped packets:";
        for (std::size_t r = 0; r < lane.counters().drops.size(); ++r)
          if (lane.counters().drops[r].read() != 0)
            text.append(" ").append(pipelines::info(static_cast<pipelines::DropReason>(r)).name);
        throw std::runtime_error(text);
      }
    }
    return rte_rdtsc() - start;
  }

  static void move(rte_ring* from, rte_ring* to, std::size_t count) {
    void* mbufs[pipelines::kBurstPackets];
    if (rte_ring_dequeue_burst(from, mbufs, static_cast<unsigned>(count), nullptr) != count)
      throw std::runtime_error("packets are missing");
    if (to == nullptr) {
      rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(mbufs), static_cast<unsigned>(count));
    } else {
      rte_ring_enqueue_burst(to, mbufs, static_cast<unsigned>(count), nullptr);
    }
  }

  rte_mempool* pool_;
  unsigned sas_;
  Site a_, b_;
  std::minstd_rand random_{1};  // the same packets in every run of the program
  std::uniform_int_distribution<std::uint32_t> hosts_{0, sas_ - 1};
  std::map<std::uint16_t, std::vector<std::uint8_t>> frames_;
};

/// ipsec-mb's direct API on a hot buffer: what the crypto of the same packets costs there.
class DirectCrypto {
 public:
  DirectCrypto() : manager_(alloc_mb_mgr(0)) {
    IMB_ARCH chosen;
    init_mb_mgr_auto(manager_, &chosen);
    const std::uint8_t key[16] = {1, 2, 3};
    IMB_AES128_GCM_PRE(manager_, key, &key_);
  }
  ~DirectCrypto() { free_mb_mgr(manager_); }
  DirectCrypto(const DirectCrypto&) = delete;
  DirectCrypto& operator=(const DirectCrypto&) = delete;

  std::uint64_t burst(const Sizes& sizes, Stages stages, bool open) {
    const std::uint64_t start = rte_rdtsc();
    for (const std::uint16_t size : sizes) {
      // ESP: IP packet, padding and 2 octets to a multiple of 4. MACsec: all after the addresses.
      std::uint64_t length = size - 12U;
      if (stages.esp) {
        const std::uint64_t sealed = (size - 14U + 2U + 3U) & ~3U;
        one(sealed, 8, open);
        length = 2 + 20 + 16 + sealed + 16;  // EtherType, outer IP, ESP header and IV, ICV
      }
      if (stages.macsec) one(length, 28, open);
    }
    return rte_rdtsc() - start;
  }

 private:
  void one(std::uint64_t length, std::uint64_t aad, bool open) {
    std::uint8_t tag[16];
    if (open) {
      IMB_AES128_GCM_DEC(manager_, &key_, &context_, data_, data_, length, iv_, aad_, aad, tag, 16);
    } else {
      IMB_AES128_GCM_ENC(manager_, &key_, &context_, data_, data_, length, iv_, aad_, aad, tag, 16);
    }
  }

  IMB_MGR* manager_;
  alignas(64) gcm_key_data key_;
  alignas(64) gcm_context_data context_;
  alignas(64) std::uint8_t data_[9216] = {}, iv_[16] = {}, aad_[64] = {};
};

nlohmann::json measure(const StageRow& row, unsigned sas, std::uint16_t size, bool ingress,
                       crypto::EngineFactory& factory, rte_mempool* pool, unsigned rounds) {
  Bench bench(row, sas, factory, pool);
  DirectCrypto direct;
  const Sizes sizes = sizes_of(size);
  const auto packets = static_cast<double>(sizes.size()) * rounds;
  const auto warm = static_cast<unsigned>(4 * sas / sizes.size());  // bursts: most SAs met
  std::array<std::vector<double>, 3> runs;
  const std::function<std::uint64_t()> parts[] = {
      [&] { return bench.lane(sizes, ingress); }, [&] { return bench.floor(sizes); },
      [&] { return direct.burst(sizes, row.stages, ingress); }};
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
                        {"algorithm", row.stages.esp || row.stages.macsec ? "aes-gcm-128" : "none"},
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
  if (const double goal = size == 64 ? row.goal_small : row.goal_large; sas == 1 && goal != 0) {
    out["goal"] = goal;  // of (total - floor) / crypto
    out["ratio"] = (total.median - floor.median) / crypto.median;
  }
  return out;
}

std::string cpuinfo(const std::string& name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name)) return line.substr(line.find(':') + 2);
  return "";
}

nlohmann::json machine(bool huge) {
  utsname system{};
  uname(&system);
  nlohmann::json features = nlohmann::json::array();
  std::istringstream flags(cpuinfo("flags"));
  for (std::string f; flags >> f;)
    for (const char* wanted :
         {"aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "sha_ni"})
      if (f == wanted) features.push_back(f);
  return {{"cpu", cpuinfo("model name")},
          {"cpu_features", features},
          {"kernel", system.release},
          {"tsc_hz", rte_get_tsc_hz()},
          {"hugepages", huge},
          {"libraries", {{"dpdk", rte_version()}, {"ipsec-mb", imb_get_version_str()}}}};
}

void print(const std::string& name, const nlohmann::json& r) {
  const auto of = [&r](const char* field) { return r[field].get<double>(); };
  std::printf("%-36s %6u %8.0f %6.1f%% %7.0f %7.0f %9.0f %7.2f %7.2f", name.c_str(),
              r["sas"].get<unsigned>(), of("cycles_per_packet"), 100 * of("spread"), of("io_floor"),
              of("crypto"), of("overhead"), of("mpps"), of("gbps"));
  if (r.contains("goal"))
    std::printf("  %.2f (%.2f)%s", of("ratio"), of("goal"), of("sas") > 1 ? " of one SA" : "");
  std::printf("\n");
  std::fflush(stdout);
}

constexpr unsigned kMemory = 256;  // MiB

bool hugepages() {
  unsigned free = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> free;
  return free * 2 > kMemory;
}

void start_eal(bool huge) {
  std::vector<std::string> words{"sealwire_bench",
                                 "--no-pci",
                                 huge ? "--in-memory" : "--no-huge",
                                 "--no-shconf",
                                 "-m",
                                 std::to_string(kMemory),
                                 "-l",
                                 "0",
                                 "--no-telemetry",
                                 "--log-level=lib.*:error"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error("EAL does not start");
}

int run(int argc, char** argv) {
  CLI::App app{"Cycles per packet of Sealwire's lanes, one core, packets from memory"};
  std::string only, file, commit = "unknown", engine = "auto";
  unsigned rounds = 500;
  bool full = false;
  std::vector<unsigned> sas;
  app.add_option("--only", only, "rows whose name matches this expression");
  app.add_option("--json", file, "write the rows to this file");
  app.add_option("--commit", commit, "what was built, for the JSON");
  app.add_option("--engine", engine, "auto, batch-gcm, ipsec-mb or openssl");
  app.add_option("--rounds", rounds, "bursts per run")->check(CLI::PositiveNumber);
  app.add_option("--sas", sas, "only rows of so many SAs; all but 100000 are usual")
      ->check(CLI::IsMember(std::vector<unsigned>(std::begin(kSas), std::end(kSas))))
      ->delimiter(',');
  app.add_flag("--full", full, "every size, 100000 SAs");
  CLI11_PARSE(app, argc, argv);

  const bool huge = hugepages();
  start_eal(huge);
  rte_mempool* pool = rte_pktmbuf_pool_create("frames", 1023, 256, 0, 10240, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error("no memory for packets");
  const auto factory = need(crypto::make_software_factory(engine));

  nlohmann::json rows = nlohmann::json::array();
  const std::regex wanted(only);
  std::printf("%-36s %6s %8s %7s %7s %7s %9s %7s %7s  %s\n", "row", "sas", "cycles", "spread",
              "floor", "crypto", "overhead", "Mpps", "Gbit/s", "(total - floor) / crypto (goal)");
  std::map<std::string, double> one_sa;  // cycles
  for (const StageRow& row : kStages) {
    for (const unsigned count : kSas) {
      if (count > 1 && (!row.stages.esp || row.stages.macsec)) continue;
      if (sas.empty() ? count == kSasOfFull && !full
                      : std::find(sas.begin(), sas.end(), count) == sas.end())
        continue;
      for (const std::uint16_t size : kSizes) {
        if (!full && size != 0 && size != 64 && size != 256 && size != 1420) continue;
        if (count > 1 && size != 0 && size != 64 && size != 1420) continue;
        for (const bool ingress : {false, true}) {
          const std::string one = std::string(row.name) + (ingress ? " ingress " : " egress ") +
                                  (size == 0 ? "IMIX" : std::to_string(size));
          const std::string name = count == 1 ? one : one + " " + std::to_string(count) + " SAs";
          if (!std::regex_search(name, wanted)) continue;
          const auto row_of = [&](unsigned n) {
            return measure(row, n, size, ingress, *factory, pool, rounds);
          };
          nlohmann::json r = row_of(count);
          if (count == 1) one_sa[one] = r["cycles_per_packet"];
          if (count > 1) {
            if (!one_sa.contains(one)) one_sa[one] = row_of(1)["cycles_per_packet"];
            r["goal"] = goal_of_sas(count);
            r["ratio"] = r["cycles_per_packet"].get<double>() / one_sa[one];
          }
          print(name, r);
          rows.push_back(r);
        }
      }
    }
  }
  if (!file.empty()) {
    std::ofstream out(file);
    out << nlohmann::json{{"machine", machine(huge)},
                          {"commit", commit},
                          {"engine", engine},
                          {"rows", rows}}
               .dump(1)
        << '\n';
    if (!out.flush()) throw std::runtime_error("cannot write " + file);
  }
  if (rows.empty()) throw std::runtime_error("no row matches " + only);
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
