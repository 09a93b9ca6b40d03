#include "app/control/api_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace sealwire::control {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

class ApiServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sealwire-api-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/run/api.sock";
    start();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    auto server = ApiServer::listen(
        poller_, path_, [this](ApiRequest& request, const Peer& peer) -> Result<json> {
          ++calls_;
          peer_ = peer;
          if (request.method == "big") return json(std::string(2 << 20, 'x'));
          if (request.method == "bad") return fail("SW-TST-001", "no", "try");
          return json{{"method", request.method}, {"params", request.params}};
        });
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  sockaddr_un address() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    return address;
  }
  int connect() const {
    const sockaddr_un to = address();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return fd;
  }
  // Sends all of `text` while the server runs, then collects until `lines` lines came or the server
  // closed the connection.
  std::string exchange(int fd, const std::string& text, int lines) {
    std::size_t sent = 0;
    std::string got;
    bool closed = false;
    const auto end = std::chrono::steady_clock::now() + 20s;
    std::string buffer(64 << 10, '\0');
    while (std::chrono::steady_clock::now() < end && !closed && lines > 0) {
      if (sent < text.size()) {
        const ssize_t n = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<std::size_t>(n);
      }
      poller_.run_once(1ms);
      const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (n > 0) {
        got.append(buffer, 0, static_cast<std::size_t>(n));
        lines -= static_cast<int>(std::count(buffer.begin(), buffer.begin() + n, '\n'));
      }
      closed = n == 0 || (n < 0 && errno == ECONNRESET);
    }
    return got;
  }
  static std::string error_id(const std::string& line) {
    const json value = json::parse(line, nullptr, false);
    return value.is_object() && value.contains("error") ? value["error"]["id"].get<std::string>()
                                                        : line;
  }

  Poller poller_;
  std::string folder_, path_;
  std::unique_ptr<ApiServer> server_;
  int calls_ = 0;
  Peer peer_;
};

TEST_F(ApiServerTest, AnswersWithTheSameIdAndKnowsThePeer) {
  const int fd = connect();
  const std::string text = R"({"version":1,"id":"a7","method":"show.lines","params":{"x":[1,2]}})";
  const auto answer = json::parse(exchange(fd, text + "\n", 1));
  EXPECT_EQ(answer["id"], "a7");
  EXPECT_EQ(answer["result"]["method"], "show.lines");
  EXPECT_EQ(answer["result"]["params"]["x"][1], 2);
  EXPECT_EQ(peer_.uid, ::geteuid());
  EXPECT_EQ(peer_.pid, ::getpid());
  ::close(fd);
}

TEST_F(ApiServerTest, ManyRequestsInOneSendAreAnsweredInOrder) {
  const int fd = connect();
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += R"({"version":1,"method":"m","id":)" + std::to_string(i) + "}\n";
  }
  const std::string got = exchange(fd, text, 100);
  std::size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t end = got.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_EQ(json::parse(got.substr(at, end - at))["id"], i);
    at = end + 1;
  }
  ::close(fd);
}

TEST_F(ApiServerTest, BadInputIsAnsweredAndTheConnectionGoesOn) {
  const int fd = connect();
  EXPECT_EQ(error_id(exchange(fd, "hello\n", 1)), "SW-API-001");
  EXPECT_EQ(error_id(exchange(fd, "[1]\n", 1)), "SW-API-002");
  EXPECT_EQ(error_id(exchange(fd, "\n", 1)), "SW-API-001");
  EXPECT_EQ(error_id(exchange(fd, "{\"version\":1,\"method\":\"\xff\xfe\"}\n", 1)), "SW-API-001");
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"id":1,"method":"m"})"
                              "\n",
                              1)),
            "SW-API-003");
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"version":2,"method":"m"})"
                              "\n",
                              1)),
            "SW-API-003");
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"version":1,"method":3})"
                              "\n",
                              1)),
            "SW-API-002");
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"version":1,"method":"m","params":3})"
                              "\n",
                              1)),
            "SW-API-002");
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"version":1,"method":"m","id":{}})"
                              "\n",
                              1)),
            "SW-API-002");
  EXPECT_EQ(error_id(exchange(fd, std::string(100000, '[') + "\n", 1)), "SW-API-002");
  EXPECT_EQ(calls_, 0);
  const auto refused = json::parse(exchange(fd,
                                            R"({"version":1,"method":"bad","id":5})"
                                            "\n",
                                            1));
  EXPECT_EQ(refused["id"], 5);
  EXPECT_EQ(refused["error"]["remedy"], "try");
  ::close(fd);
}

TEST_F(ApiServerTest, BigAnswersAndBigRequestsPassWithoutBlocking) {
  const int fd = connect();
  const auto big = exchange(fd,
                            R"({"version":1,"method":"big"})"
                            "\n",
                            1);
  EXPECT_GT(big.size(), std::size_t{2 << 20});
  const std::string text(1 << 20, 'y');
  const auto echoed = json::parse(
      exchange(fd, R"({"version":1,"method":"m","params":{"t":")" + text + "\"}}\n", 1));
  EXPECT_EQ(echoed["result"]["params"]["t"], text);
  ::close(fd);
}

TEST_F(ApiServerTest, AnEndlessLineEndsTheConnection) {
  const int fd = connect();
  const std::string got = exchange(fd, std::string(kMaxRequest + (1 << 20), 'z'), 2);
  EXPECT_EQ(error_id(got), "SW-API-004");
  EXPECT_EQ(server_->clients(), 0U);
  ::close(fd);
}

TEST_F(ApiServerTest, ARequestBeforeHalfCloseIsStillAnswered) {
  const int fd = connect();
  const std::string text = R"({"version":1,"method":"m"})"
                           "\n";
  ASSERT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  ::shutdown(fd, SHUT_WR);
  EXPECT_EQ(json::parse(exchange(fd, "", 1))["result"]["method"], "m");
  for (int i = 0; i < 5; ++i) poller_.run_once(1ms);
  EXPECT_EQ(server_->clients(), 0U);
  ::close(fd);
}

TEST_F(ApiServerTest, OtherUsersAreRefused) {
  // Another user is made by asking as `nobody` (root), or by serving only a user we are not.
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
    ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
    ASSERT_EQ(::seteuid(65534), 0);
  } else {
    server_->allow(0);
  }
  const int fd = connect();
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(error_id(exchange(fd,
                              R"({"version":1,"method":"m"})"
                              "\n",
                              1)),
            "SW-API-005");
  EXPECT_EQ(calls_, 0);
  ::close(fd);
}

TEST_F(ApiServerTest, ABusySocketIsRefusedAndAStaleOneReplaced) {
  Poller other;
  const auto busy = ApiServer::listen(other, path_, nullptr);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().id, "SW-API-010");
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  // What a killed daemon leaves behind.
  const sockaddr_un at = address();
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  ::close(dead);
  start();
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms{0600});
}

TEST_F(ApiServerTest, SomethingElseAtThePathIsLeftAlone) {
  Poller other;
  const std::string file = folder_ + "/file";
  std::ofstream(file) << "mine";
  const auto refused = ApiServer::listen(other, file, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id, "SW-API-011");
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(ApiServer::listen(other, std::string(200, 'a'), nullptr).error().id, "SW-API-011");
}

TEST(Poller, TimersRunAndEnd) {
  Poller poller;
  int runs = 0;
  const int timer = poller.add_timer(1ms, [&runs] { ++runs; });
  ASSERT_GE(timer, 0);
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (runs < 3 && std::chrono::steady_clock::now() < end) poller.run_once(10ms);
  EXPECT_GE(runs, 3);
  poller.remove_timer(timer);
  const int before = runs;
  poller.run_once(5ms);
  EXPECT_EQ(runs, before);
}

TEST(ApiMessage, ResponsesAreReadBack) {
  EXPECT_EQ(*parse_response(result_line(3, {{"a", 1}})), json({{"a", 1}}));
  const auto error = parse_response(error_line(3, {"SW-X-001", "m", "r"}));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().id, "SW-X-001");
  EXPECT_EQ(error.error().remedy, "r");
  EXPECT_FALSE(parse_response("x"));
  EXPECT_FALSE(parse_response("{}"));
}

TEST(ApiMessage, WipedStringsAreGone) {
  json value = {{"key", "00112233"}, {"list", {"aa", 5}}};
  wipe_strings(value);
  EXPECT_EQ(value.dump(), R"({"key":"","list":["",5]})");
}

TEST_F(ApiServerTest, OneClientTooManyIsToldSo) {
  server_->limit({.clients = 3});
  std::vector<int> fds;
  for (int i = 0; i < 3; ++i) {
    fds.push_back(connect());
    EXPECT_NE(exchange(fds.back(), "{\"version\":1,\"method\":\"m\"}\n", 1).find("result"),
              std::string::npos);
  }
  const int fd = connect();
  EXPECT_EQ(error_id(exchange(fd, "", 1)), "SW-API-012");
  ::close(fd);
  ::close(fds.back());
  fds.pop_back();
  for (int i = 0; i < 100 && server_->clients() > 2; ++i) poller_.run_once(1ms);
  fds.push_back(connect());
  EXPECT_NE(exchange(fds.back(), "{\"version\":1,\"method\":\"m\"}\n", 1).find("result"),
            std::string::npos);
  for (const int one : fds) ::close(one);
}

TEST_F(ApiServerTest, SilentAndUnfinishedClientsAreDisconnected) {
  server_->limit({.clients = 64, .unfinished = 1s, .silent = 3s});
  const int silent = connect(), unfinished = connect(), busy = connect();
  exchange(unfinished, "{\"version\":1,", 0);
  (void)::send(unfinished, "{\"version\":1,", 13, MSG_NOSIGNAL);
  const auto runs_for = [&](std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
      exchange(busy, "{\"version\":1,\"method\":\"m\"}\n", 1);
      (void)::send(unfinished, " ", 1, MSG_NOSIGNAL);  // alive, but never done
      poller_.run_once(50ms);
    }
  };
  runs_for(100ms);
  EXPECT_EQ(server_->clients(), 3U);
  runs_for(2300ms);
  EXPECT_EQ(server_->clients(), 2U);  // the unfinished one is gone
  const auto gone = [](int fd) {
    char octet = 0;
    const ssize_t n = ::recv(fd, &octet, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  };
  EXPECT_TRUE(gone(unfinished));
  runs_for(2000ms);
  EXPECT_EQ(server_->clients(), 1U);
  EXPECT_TRUE(gone(silent));
  EXPECT_FALSE(gone(busy));
  for (const int fd : {silent, unfinished, busy}) ::close(fd);
}

}  // namespace
}  // namespace sealwire::control
