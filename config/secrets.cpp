#include "config/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

namespace sealwire::config {
namespace {

constexpr std::size_t kMaxFile = 4096;

class File {
 public:
  explicit File(const std::string& path)
      : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool from_hex(std::string_view digits, Secret& secret, SecretProblem& problem) {
  auto bytes = crypto::SecretBytes::from_hex(digits);
  if (bytes && !bytes->empty()) {
    secret.bytes = std::move(*bytes);
    return true;
  }
  problem = {Rule::secret_not_hex, "the secret is not an even number of hexadecimal digits",
             "hexadecimal digits"};
  return false;
}

bool load_file_secret(const std::string& path, Secret& secret, SecretProblem& problem) {
  const File file(path);
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    problem = {Rule::secret_unreadable, fmt::format("cannot read {}: {}", path, strerror(errno)),
               "a readable file"};
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    problem = {Rule::secret_permissions, fmt::format("{} is not a regular file", path),
               "a regular file"};
    return false;
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    problem = {Rule::secret_permissions,
               fmt::format("{} has mode {:04o}: group or others have access", path,
                           status.st_mode & 07777),
               "mode 0600 or 0400"};
    return false;
  }
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    problem = {Rule::secret_permissions, fmt::format("{} belongs to another user", path),
               "a file of root or of the user who runs Sealwire"};
    return false;
  }
  std::array<char, kMaxFile + 1> buffer{};
  std::size_t length = 0;
  ssize_t got = 0;
  while (length < buffer.size() &&
         (got = read(file.get(), buffer.data() + length, buffer.size() - length)) > 0)
    length += static_cast<std::size_t>(got);
  bool done = false;
  if (got < 0 || length > kMaxFile)
    problem = {Rule::secret_unreadable, fmt::format("cannot read {}", path),
               "a file of at most 4096 octets"};
  else
    done = from_hex(trim({buffer.data(), length}), secret, problem);
  crypto::wipe(buffer.data(), buffer.size());
  return done;
}

}  // namespace

bool load_secret(std::string_view text, const std::string& directory, bool lab, Secret& secret,
                 SecretProblem& problem) {
  if (text.starts_with("file:")) {
    secret.source = std::string(text);
    const std::filesystem::path path(text.substr(5));
    return load_file_secret((std::filesystem::path(directory) / path).string(), secret, problem);
  }
  if (text.starts_with("env:")) {
    secret.source = std::string(text);
    const std::string name(text.substr(4));
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) {
      problem = {Rule::secret_environment,
                 fmt::format("the environment variable {} is not set", name), "a set variable"};
      return false;
    }
    return from_hex(trim(value), secret, problem);
  }
  if (!lab) {
    problem = {Rule::secret_inline, "a secret stands in the file itself, and this is no lab",
               "file:PATH or env:NAME"};
    return false;
  }
  secret.source = "inline";
  return from_hex(text, secret, problem);
}

bool looks_weak(const crypto::SecretBytes& key) {
  const std::span<const std::uint8_t> octets = key.view();
  if (octets.size() < 2) return true;
  const auto step = static_cast<std::uint8_t>(octets[1] - octets[0]);
  for (std::size_t i = 1; i < octets.size(); ++i)
    if (static_cast<std::uint8_t>(octets[i] - octets[i - 1]) != step) return false;
  return true;
}

}  // namespace sealwire::config
