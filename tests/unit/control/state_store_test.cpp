#include "app/control/state_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {
// What the store asks of the disk, in order: "sync FILE" and "rename FILE".
std::vector<std::string> asked;
bool sync_fails = false;

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }
}  // namespace

// In place of the C library's.
int fsync(int fd) {
  char path[256] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (::readlink(link.c_str(), path, sizeof path - 1) > 0) {
    asked.push_back("sync " + last_part(path));
  }
  if (sync_fails) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

int rename(const char* from, const char* to) noexcept {
  asked.push_back("rename " + last_part(from));
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace sealwire::control {
namespace {

using crypto::Algorithm;

class StateStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sealwire-state-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = std::string(name) + "/state";
  }
  void TearDown() override {
    std::filesystem::remove_all(std::filesystem::path(directory_).parent_path());
  }
  std::string read() const {
    std::ifstream in(directory_ + "/numbers");
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void write(const std::string& text) const { std::ofstream(directory_ + "/numbers") << text; }

  std::string directory_;
  std::vector<std::uint8_t> key_ = std::vector<std::uint8_t>(16, 7);
  std::vector<std::uint8_t> salt_ = {1, 2, 3, 4};
};

TEST_F(StateStoreTest, MissingStateIsRefusedWithTheCommandToRun) {
  const auto store = StateStore::open(directory_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().id, "SW-STA-001");
  EXPECT_NE(store.error().remedy.find("sealwire state init " + directory_), std::string::npos);
}

TEST_F(StateStoreTest, InitDoesNotForgetByAccident) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  const auto again = StateStore::init(directory_, false);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().id, "SW-STA-006");
  EXPECT_TRUE(StateStore::init(directory_, true));
  struct stat info {};
  ASSERT_EQ(::stat((directory_ + "/numbers").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(StateStoreTest, RecordsOutliveTheProcessAndNeverGoBack) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  StateStore::Fingerprint id{};
  {
    auto store = StateStore::open(directory_);
    ASSERT_TRUE(store);
    id = *store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_));
    EXPECT_FALSE(store->recorded(id));
    const StateStore::Request up{id, 1000};
    ASSERT_TRUE(store->record({&up, 1}));
    const StateStore::Request down{id, 10};
    ASSERT_TRUE(store->record({&down, 1}));
    EXPECT_EQ(store->recorded(id), 1000U);
  }
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  EXPECT_EQ(store->recorded(id), 1000U);
  EXPECT_EQ(*store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_)), id);
}

TEST_F(StateStoreTest, ReleaseLowersOnlyWhatThisRunRaised) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  const auto id = *store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_));
  const StateStore::Request block{id, 5000};
  ASSERT_TRUE(store->record({&block, 1}));
  const StateStore::Request used{id, 123};
  ASSERT_TRUE(store->release({&used, 1}));
  EXPECT_EQ(store->recorded(id), 123U);
  store = tl::unexpected(Error{});  // unlocks
  store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  const StateStore::Request below{id, 50};
  ASSERT_TRUE(store->release({&below, 1}));
  EXPECT_EQ(store->recorded(id), 123U);
}

TEST_F(StateStoreTest, TwoDaemonsDoNotShareADirectory) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  const auto first = StateStore::open(directory_);
  ASSERT_TRUE(first);
  const auto second = StateStore::open(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().id, "SW-STA-003");
  EXPECT_EQ(StateStore::init(directory_, true).error().id, "SW-STA-003");
}

TEST_F(StateStoreTest, EveryTruncationAndEveryFlippedOctetIsRefused) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  {
    auto store = StateStore::open(directory_);
    ASSERT_TRUE(store);
    const auto id = *store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_));
    const StateStore::Request block{id, 77};
    ASSERT_TRUE(store->record({&block, 1}));
  }
  const std::string good = read();
  ASSERT_TRUE(StateStore::open(directory_));
  for (std::size_t length = 0; length < good.size(); ++length) {
    write(good.substr(0, length));
    const auto store = StateStore::open(directory_);
    ASSERT_FALSE(store) << "cut to " << length;
    EXPECT_EQ(store.error().id, "SW-STA-002");
    EXPECT_NE(store.error().remedy.find("--force"), std::string::npos);
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write(bad);
    ASSERT_FALSE(StateStore::open(directory_)) << "octet " << at;
  }
  // A whole record taken out is noticed as well.
  const std::size_t first = good.find('\n') + 1;
  const std::size_t second = good.find('\n', first) + 1;
  write(good.substr(0, first) + good.substr(second));
  EXPECT_FALSE(StateStore::open(directory_));
}

TEST_F(StateStoreTest, AWriteThatFailsRaisesNothing) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  const auto id = *store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_));
  std::filesystem::create_directory(directory_ + "/numbers.new");  // the temporary cannot be made
  const StateStore::Request block{id, 77};
  const auto failed = store->record({&block, 1});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().id, "SW-STA-004");
  EXPECT_FALSE(store->recorded(id));
}

// A power cut leaves the old file or the new one, and once told of success, the new one.
TEST_F(StateStoreTest, TheDiskHasItBeforeAnyoneIsTold) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  const auto id = *store->identify(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_));
  const StateStore::Request block{id, 77};
  asked.clear();
  ASSERT_TRUE(store->record({&block, 1}));
  EXPECT_EQ(asked,
            (std::vector<std::string>{"sync numbers.new", "rename numbers.new", "sync state"}));
  const std::string good = read();
  const StateStore::Request more{id, 88};
  sync_fails = true;
  const auto failed = store->record({&more, 1});
  sync_fails = false;
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().id, "SW-STA-004");
  EXPECT_EQ(store->recorded(id), 77U);
  EXPECT_EQ(read(), good);
}

TEST_F(StateStoreTest, SpacesAreWhatMakesNoncesUnique) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  const auto id = [&store](const NonceSpace& space) { return *store->identify(space); };
  const std::vector<std::uint8_t> other_salt = {1, 2, 3, 5};
  EXPECT_EQ(id(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_)),
            id(NonceSpace::esp(Algorithm::aes_gmac_128, key_, salt_)));
  EXPECT_NE(id(NonceSpace::esp(Algorithm::aes_gcm_128, key_, salt_)),
            id(NonceSpace::esp(Algorithm::aes_gcm_128, key_, other_salt)));
  // Another HMAC key behind the same cipher key is the same IV space.
  std::vector<std::uint8_t> cbc1(36, 1), cbc2(36, 1);
  cbc2.back() = 2;
  EXPECT_EQ(id(NonceSpace::esp(Algorithm::aes_cbc_128_hmac_sha1_96, cbc1, {})),
            id(NonceSpace::esp(Algorithm::aes_cbc_128_hmac_sha1_96, cbc2, {})));
  EXPECT_NE(id(NonceSpace::macsec(key_, crypto::Sci(1))),
            id(NonceSpace::macsec(key_, crypto::Sci(2))));
}

TEST_F(StateStoreTest, XpnSaltThatDoesNotMakeNoncesNewIsRefused) {
  ASSERT_TRUE(StateStore::init(directory_, false));
  auto store = StateStore::open(directory_);
  ASSERT_TRUE(store);
  std::vector<std::uint8_t> salt(12, 0), low = salt, high = salt;
  low[11] = 1;
  high[3] = 1;
  const auto id = *store->identify(NonceSpace::macsec_xpn(key_, crypto::Ssci(1), salt));
  const StateStore::Request block{id, 100};
  ASSERT_TRUE(store->record({&block, 1}));
  const auto refused = store->identify(NonceSpace::macsec_xpn(key_, crypto::Ssci(1), low));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id, "SW-STA-005");
  // SSCI 1 with salt 0 and SSCI 0 with salt 1 give the same nonces, SSCI 1 with salt 1 does not.
  EXPECT_EQ(*store->identify(NonceSpace::macsec_xpn(key_, crypto::Ssci(0), high)), id);
  EXPECT_NE(*store->identify(NonceSpace::macsec_xpn(key_, crypto::Ssci(1), high)), id);
}

}  // namespace
}  // namespace sealwire::control
