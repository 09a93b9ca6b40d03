#include "crypto/self_test.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sealwire::crypto {
namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::chrono::seconds kPatience{5};

Octets octets_of(std::string_view hex) {
  const Result<SecretBytes> bytes = SecretBytes::from_hex(hex);
  if (!bytes) return {};
  return {bytes->view().begin(), bytes->view().end()};
}

/// One packet's memory in the layout that every algorithm accepts: aad, wire IV (CBC), data, tag.
struct Frame {
  Octets memory;
  std::size_t aad_length;
  std::size_t iv_length;
  std::size_t length;

  Frame(const KnownAnswer& answer, bool sealed) {
    const AlgorithmInfo& facts = info(answer.algorithm);
    const Octets aad = octets_of(answer.aad);
    const Octets data = octets_of(sealed ? answer.sealed : answer.plain);
    aad_length = aad.size();
    iv_length = facts.cipher == Cipher::aes_cbc ? 16 : 0;
    length = sealed ? data.size() - iv_length : data.size();
    memory = aad;
    if (!sealed) memory.resize(memory.size() + iv_length);
    memory.insert(memory.end(), data.begin(), data.end());
    if (sealed) {
      const Octets tag = octets_of(answer.tag);
      memory.insert(memory.end(), tag.begin(), tag.end());
    }
    memory.resize(aad_length + iv_length + length + facts.icv_length);
  }

  std::uint8_t* data() { return memory.data() + aad_length + iv_length; }
  std::uint8_t* tag() { return data() + length; }
};

void fill(AeadOp& op, const AeadKey& key, const KnownAnswer& answer, Frame& frame) {
  op.key = &key;
  op.aad = frame.memory.data();
  op.aad_length = static_cast<std::uint32_t>(frame.aad_length);
  op.data = frame.data();
  op.length = static_cast<std::uint32_t>(frame.length);
  op.tag = frame.tag();
  const Octets iv = octets_of(answer.iv);
  std::fill(std::begin(op.iv), std::end(op.iv), std::uint8_t{0});
  std::copy_n(iv.begin(), std::min(iv.size(), sizeof op.iv), op.iv);
  op.append_esn_high = answer.esn_high.has_value();
  op.esn_high = answer.esn_high.value_or(0);
}

tl::unexpected<Error> failed(const Engine& engine, const KnownAnswer& answer, const char* step) {
  return fail("SW-CRY-040",
              "self-test of " + std::string(engine.name()) +
                  " failed: " + std::string(info(answer.algorithm).name) + ", " + step,
              "do not forward with this engine; choose another and report the processor or device");
}

Result<void> run(Engine& engine, AeadBatch& batch) {
  engine.submit(batch);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!engine.poll(batch)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail("SW-CRY-042", "self-test of " + std::string(engine.name()) + " got no answer",
                  "check the crypto device");
    }
    std::this_thread::yield();
  }
  return {};
}

/// `answer` done `copies` times in one batch, the last one of an opened batch being wrong in one
/// bit at each place of interest in turn.
class Case {
 public:
  Case(Engine& engine, const AeadKey& key, const KnownAnswer& answer, std::size_t copies)
      : engine_(engine), key_(key), answer_(answer), copies_(copies) {}

  Result<void> seal() {
    const Frame expected(answer_, true);
    std::vector<Frame> frames(copies_, Frame(answer_, false));
    if (auto done = submit(frames, Direction::seal); !done) return done;
    for (std::size_t i = 0; i < copies_; ++i) {
      if (batch_->ops[i].status != OpStatus::ok) return failed(engine_, answer_, "seal");
      if (frames[i].memory != expected.memory) return failed(engine_, answer_, "sealed octets");
    }
    return {};
  }

  Result<void> open() {
    std::vector<Frame> frames(copies_, Frame(answer_, true));
    if (auto done = submit(frames, Direction::open); !done) return done;
    for (std::size_t i = 0; i < copies_; ++i) {
      if (auto good = check_opened(i, frames[i]); !good) return good;
    }
    return {};
  }

  /// One bit wrong at `offset` of the last copy; the others must not suffer.
  Result<void> open_corrupted(std::size_t offset) {
    std::vector<Frame> frames(copies_, Frame(answer_, true));
    Frame& wrong = frames.back();
    wrong.memory[offset] ^= 0x01;
    if (auto done = submit(frames, Direction::open); !done) return done;
    for (std::size_t i = 0; i + 1 < copies_; ++i) {
      if (auto good = check_opened(i, frames[i]); !good) return good;
    }
    if (batch_->ops[copies_ - 1].status != OpStatus::bad_tag) {
      return failed(engine_, answer_, "corruption accepted");
    }
    const bool wiped = std::all_of(wrong.data(), wrong.data() + wrong.length,
                                   [](auto octet) { return octet == 0; });
    if (info(answer_.algorithm).confidential && !wiped) {
      return failed(engine_, answer_, "plaintext left after a wrong tag");
    }
    return {};
  }

  Result<void> all() {
    if (auto good = seal(); !good) return good;
    if (auto good = open(); !good) return good;
    const Frame sealed(answer_, true);
    const std::size_t tag = sealed.memory.size() - info(answer_.algorithm).icv_length;
    std::vector<std::size_t> places{tag, sealed.memory.size() - 1};
    if (sealed.aad_length != 0) places.push_back(sealed.aad_length - 1);
    if (sealed.length != 0) places.push_back(tag - 1);
    if (sealed.iv_length != 0) places.push_back(sealed.aad_length);
    for (const std::size_t place : places) {
      if (auto good = open_corrupted(place); !good) return good;
    }
    return {};
  }

 private:
  Result<void> submit(std::vector<Frame>& frames, Direction direction) {
    batch_->reset(direction);
    for (Frame& frame : frames) fill(batch_->add(), key_, answer_, frame);
    return run(engine_, *batch_);
  }

  Result<void> check_opened(std::size_t index, Frame& frame) {
    if (batch_->ops[index].status != OpStatus::ok) return failed(engine_, answer_, "open");
    const Octets plain = octets_of(answer_.plain);
    if (!std::equal(plain.begin(), plain.end(), frame.data(), frame.data() + frame.length)) {
      return failed(engine_, answer_, "opened octets");
    }
    const Octets tag = octets_of(answer_.tag);
    if (!std::equal(tag.begin(), tag.end(), frame.tag())) {
      return failed(engine_, answer_, "the received tag was changed");
    }
    return {};
  }

  Engine& engine_;
  const AeadKey& key_;
  const KnownAnswer& answer_;
  std::size_t copies_;
  std::unique_ptr<AeadBatch> batch_ = std::make_unique<AeadBatch>();
};

Result<void> run_answer(Engine& engine, const KnownAnswer& answer) {
  const Result<SecretBytes> secret = SecretBytes::from_hex(answer.key);
  if (!secret) return tl::unexpected(secret.error());
  KeyUse use;
  use.aad_length = static_cast<std::uint16_t>(answer.aad.size() / 2);
  const auto key = engine.make_key(answer.algorithm, *secret, use);
  if (!key) return tl::unexpected(key.error());
  for (const std::size_t copies : {std::size_t{1}, AeadBatch::kCapacity}) {
    if (auto good = Case(engine, **key, answer, copies).all(); !good) return good;
  }
  return {};
}

}  // namespace

Result<void> self_test(Engine& engine, std::span<const KnownAnswer> answers) {
  std::array<bool, kAlgorithmCount> tested{};
  for (const KnownAnswer& answer : answers) {
    if (!engine.supports(answer.algorithm)) continue;
    if (auto good = run_answer(engine, answer); !good) return good;
    tested[static_cast<std::size_t>(answer.algorithm)] = true;
  }
  for (const AlgorithmInfo& facts : all_algorithms()) {
    if (engine.supports(facts.algorithm) && !tested[static_cast<std::size_t>(facts.algorithm)]) {
      return fail("SW-CRY-041",
                  "there is no self-test of " + std::string(facts.name) + " for " +
                      std::string(engine.name()),
                  "report this as a bug");
    }
  }
  return {};
}

}  // namespace sealwire::crypto
