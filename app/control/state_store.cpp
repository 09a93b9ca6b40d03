#include "app/control/state_store.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

namespace sealwire::control {
namespace {

constexpr std::string_view kMagic = "sealwire-state 1";
constexpr const char* kFile = "/numbers";
constexpr const char* kTemporary = "/numbers.new";
constexpr const char* kLock = "/lock";
constexpr std::size_t kKeyOctets = 32;
constexpr off_t kLargest = 256 << 20;

std::string remedy_replace(const std::string& directory) {
  return "numbers already used can no longer be told: replace every static key by a fresh one, "
         "then run 'sealwire "
         "state init --force " +
         directory + "'";
}

std::string hex(std::span<const std::uint8_t> octets) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(octets.size() * 2);
  for (const std::uint8_t octet : octets) {
    text += kDigits[octet >> 4];
    text += kDigits[octet & 15];
  }
  return text;
}

template <std::size_t N>
bool from_hex(std::string_view text, std::array<std::uint8_t, N>& out) {
  if (text.size() != 2 * N) return false;
  for (std::size_t i = 0; i < N; ++i) {
    const char* at = text.data() + 2 * i;
    if (std::from_chars(at, at + 2, out[i], 16).ptr != at + 2) return false;
  }
  return true;
}

std::array<std::uint8_t, 32> hmac(std::span<const std::uint8_t> key, std::string_view label,
                                  std::initializer_list<std::span<const std::uint8_t>> parts) {
  // Length-prefixed parts in wiped memory: the message holds the key being fingerprinted.
  std::size_t octets = label.size() + 1;
  for (const auto& part : parts) octets += 4 + part.size();
  crypto::SecretBytes message(octets);
  auto out = message.mutable_view();
  std::memcpy(out.data(), label.data(), label.size());
  std::size_t at = label.size();
  out[at++] = 0;
  for (const auto& part : parts) {
    const auto length = static_cast<std::uint32_t>(part.size());
    for (int shift = 24; shift >= 0; shift -= 8) {
      out[at++] = static_cast<std::uint8_t>(length >> shift);
    }
    if (!part.empty()) std::memcpy(out.data() + at, part.data(), part.size());
    at += part.size();
  }
  std::array<std::uint8_t, 32> digest{};
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), out.data(), out.size(),
       digest.data(), &length);
  return digest;
}

std::string record_body(const StateStore::Fingerprint& fingerprint,
                        const std::array<std::uint8_t, 32>& bound, std::uint64_t next) {
  return hex(fingerprint) + ' ' + hex(bound) + ' ' + std::to_string(next);
}

std::string checksum(std::span<const std::uint8_t> key, std::string_view line) {
  const auto digest =
      hmac(key, "record", {{reinterpret_cast<const std::uint8_t*>(line.data()), line.size()}});
  return hex(std::span(digest).first(8));
}

std::string_view take_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Result<std::string> read_file(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return fail("SW-STA-004", path + ": " + std::strerror(errno));
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > kLargest) {
    return fail("SW-STA-004", path + ": not a state file");
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t n = ::read(file.fd(), text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail("SW-STA-004", path + ": " + std::strerror(errno));
    if (n == 0) break;
    at += static_cast<std::size_t>(n);
  }
  text.resize(at);
  return text;
}

}  // namespace

NonceSpace NonceSpace::esp(crypto::Algorithm algorithm, std::span<const std::uint8_t> key,
                           std::span<const std::uint8_t> salt) {
  const crypto::AlgorithmInfo& facts = crypto::info(algorithm);
  NonceSpace space;
  // CBC: another HMAC key does not make the same cipher key's IVs new.
  const bool cipher_only = !facts.aead && facts.cipher_key_length > 0;
  space.key = crypto::SecretBytes(
      cipher_only ? key.first(std::min<std::size_t>(facts.cipher_key_length, key.size())) : key);
  space.fixed.assign(salt.begin(), salt.end());
  return space;
}

NonceSpace NonceSpace::macsec(std::span<const std::uint8_t> sak, crypto::Sci sci) {
  NonceSpace space;
  space.key = crypto::SecretBytes(sak);
  for (int shift = 56; shift >= 0; shift -= 8) {
    space.fixed.push_back(static_cast<std::uint8_t>(sci.value() >> shift));
  }
  return space;
}

NonceSpace NonceSpace::macsec_xpn(std::span<const std::uint8_t> sak, crypto::Ssci ssci,
                                  std::span<const std::uint8_t> salt12) {
  NonceSpace space;
  space.key = crypto::SecretBytes(sak);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto octet = static_cast<std::uint8_t>(ssci.value() >> (24 - 8 * i));
    space.fixed.push_back(static_cast<std::uint8_t>(octet ^ (i < salt12.size() ? salt12[i] : 0)));
  }
  if (salt12.size() > 4) space.bound.assign(salt12.begin() + 4, salt12.end());
  return space;
}

Result<void> StateStore::write_file(const std::string& directory, const std::string& text) {
  const std::string temporary = directory + kTemporary;
  const std::string remedy = "check the directory's permissions and free space";
  {
    const File file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.ok() || !write_all(file.fd(), text) || ::fsync(file.fd()) != 0) {
      return fail("SW-STA-004", temporary + ": " + std::strerror(errno), remedy);
    }
  }
  const std::string path = directory + kFile;
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return fail("SW-STA-004", path + ": " + std::strerror(errno), remedy);
  }
  const File folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || ::fsync(folder.fd()) != 0) {
    return fail("SW-STA-004", directory + ": " + std::strerror(errno), remedy);
  }
  return {};
}

Result<void> StateStore::init(const std::string& directory, bool force) {
  std::string path;
  for (std::size_t at = 0; at != std::string::npos;) {
    at = directory.find('/', at + 1);
    path = directory.substr(0, at);
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail("SW-STA-004", path + ": " + std::strerror(errno));
    }
  }
  const File lock(::open((directory + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.ok()) return fail("SW-STA-004", directory + kLock + ": " + std::strerror(errno));
  if (::flock(lock.fd(), LOCK_EX | LOCK_NB) != 0) {
    return fail("SW-STA-003", directory + ": in use by a running sealwired", "stop it first");
  }
  if (!force && ::access((directory + kFile).c_str(), F_OK) == 0) {
    return fail("SW-STA-006", directory + ": holds state already",
                "keep it; only when every static key is replaced too, add --force");
  }
  auto key = crypto::SecretBytes::random(kKeyOctets);
  if (!key) return tl::unexpected(key.error());
  const std::string head = std::string(kMagic) + ' ' + hex(key->view());
  std::string text = head + ' ' + checksum(key->view(), head) + '\n';
  const std::string tail = "end 0";
  text += tail + ' ' + checksum(key->view(), tail) + '\n';
  return write_file(directory, text);
}

Result<StateStore> StateStore::open(const std::string& directory) {
  StateStore store;
  store.directory_ = directory;
  const std::string path = directory + kFile;
  if (::access(path.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return fail("SW-STA-001", path + ": no state here",
                "for a new box run 'sealwire state init " + directory +
                    "'; if it was lost, first replace every static key");
  }
  store.lock_ = ::open((directory + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (store.lock_ < 0) {
    return fail("SW-STA-004", directory + kLock + ": " + std::strerror(errno));
  }
  if (::flock(store.lock_, LOCK_EX | LOCK_NB) != 0) {
    return fail("SW-STA-003", directory + ": in use by another sealwired",
                "give each daemon a state-directory of its own");
  }
  auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());

  const auto torn = [&](std::size_t number, const char* what) {
    return fail("SW-STA-002", path + ":" + std::to_string(number) + ": " + what,
                remedy_replace(directory));
  };
  std::string_view rest = *text;
  std::size_t number = 0;
  std::array<std::uint8_t, kKeyOctets> key{};
  bool ended = false;
  while (!rest.empty()) {
    ++number;
    const std::size_t newline = rest.find('\n');
    if (newline == std::string_view::npos) return torn(number, "cut off in the middle of a record");
    std::string_view line = rest.substr(0, newline);
    rest.remove_prefix(newline + 1);
    if (ended) return torn(number, "data behind the end");
    const std::size_t space = line.rfind(' ');
    if (space == std::string_view::npos) return torn(number, "not a record");
    const std::string_view body = line.substr(0, space);
    const std::string_view sum = line.substr(space + 1);
    if (number == 1) {
      if (!body.starts_with(kMagic) || !from_hex(body.substr(body.rfind(' ') + 1), key)) {
        return torn(number, "not a state file of this version");
      }
      store.directory_key_ = crypto::SecretBytes(key);
      crypto::wipe(key.data(), key.size());
    }
    if (checksum(store.directory_key_.view(), body) != sum) {
      return torn(number, "checksum wrong");
    }
    if (number == 1) continue;
    std::string_view words = body;
    const std::string_view first = take_word(words);
    if (first == "end") {
      if (words != std::to_string(store.records_.size()))
        return torn(number, "records are missing");
      ended = true;
      continue;
    }
    Fingerprint fingerprint{};
    Record record;
    if (!from_hex(first, fingerprint) || !from_hex(take_word(words), record.bound) ||
        std::from_chars(words.data(), words.data() + words.size(), record.next).ptr !=
            words.data() + words.size()) {
      return torn(number, "not a record");
    }
    record.at_start = record.next;
    store.records_[fingerprint] = record;
  }
  if (!ended) return torn(number, "cut off: no end record");
  crypto::wipe(text->data(), std::min<std::size_t>(text->size(), 128));  // the directory's key
  return store;
}

StateStore::StateStore(StateStore&& other) noexcept
    : directory_(std::move(other.directory_)),
      lock_(std::exchange(other.lock_, -1)),
      directory_key_(std::move(other.directory_key_)),
      records_(std::move(other.records_)) {}

StateStore& StateStore::operator=(StateStore&& other) noexcept {
  if (this != &other) {
    if (lock_ >= 0) ::close(lock_);
    directory_ = std::move(other.directory_);
    lock_ = std::exchange(other.lock_, -1);
    directory_key_ = std::move(other.directory_key_);
    records_ = std::move(other.records_);
  }
  return *this;
}

StateStore::~StateStore() {
  if (lock_ >= 0) ::close(lock_);
}

Result<StateStore::Fingerprint> StateStore::identify(const NonceSpace& space) {
  const Fingerprint fingerprint =
      hmac(directory_key_.view(), "nonce-space", {space.key.view(), space.fixed});
  Fingerprint bound{};
  if (!space.bound.empty()) {
    bound = hmac(directory_key_.view(), "bound", {space.key.view(), space.bound});
  }
  const auto found = records_.find(fingerprint);
  if (found == records_.end()) {
    records_[fingerprint].bound = bound;  // becomes durable with the first block
  } else if (found->second.next == 0) {
    found->second.bound = bound;
  } else if (found->second.bound != bound) {
    return fail("SW-STA-005", "this key was used before with another salt",
                "a salt alone does not make nonces new: replace the key");
  }
  return fingerprint;
}

std::optional<std::uint64_t> StateStore::recorded(const Fingerprint& fingerprint) const {
  const auto found = records_.find(fingerprint);
  if (found == records_.end() || found->second.next == 0) return std::nullopt;
  return found->second.next;
}

Result<void> StateStore::record(std::span<const Request> requests) {
  auto records = records_;
  for (const Request& request : requests) {
    Record& record = records[request.fingerprint];
    record.next = std::max(record.next, request.next);
  }
  if (auto written = write(records); !written) return written;
  records_ = std::move(records);
  return {};
}

Result<void> StateStore::release(std::span<const Request> requests) {
  auto records = records_;
  for (const Request& request : requests) {
    const auto found = records.find(request.fingerprint);
    if (found == records.end()) continue;
    found->second.next =
        std::min(found->second.next, std::max(request.next, found->second.at_start));
  }
  if (auto written = write(records); !written) return written;
  records_ = std::move(records);
  return {};
}

Result<void> StateStore::write(const std::map<Fingerprint, Record>& records) const {
  const auto key = directory_key_.view();
  const std::string head = std::string(kMagic) + ' ' + hex(key);
  std::string text = head + ' ' + checksum(key, head) + '\n';
  std::size_t count = 0;
  for (const auto& [fingerprint, record] : records) {
    if (record.next == 0) continue;
    ++count;
    const std::string body = record_body(fingerprint, record.bound, record.next);
    text += body + ' ' + checksum(key, body) + '\n';
  }
  const std::string tail = "end " + std::to_string(count);
  text += tail + ' ' + checksum(key, tail) + '\n';
  return write_file(directory_, text);
}

}  // namespace sealwire::control
