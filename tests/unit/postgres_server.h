// SPDX-License-Identifier: Apache-2.0
// A real PostgreSQL of the test's own, on a Unix socket in a temporary directory, and a client of
// ours that asks it.
#pragma once

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/postgres.h"

namespace lagwatch::postgres_server {

namespace fs = std::filesystem;
using namespace std::chrono_literals;  // NOLINT: durations as tests read them

// Polls; false when it did not come true in time.
inline bool eventually(const std::function<bool()>& is_true, Duration patience = 20s) {
  const Instant end = now().steady + patience;
  while (!is_true()) {
    if (now().steady > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// The programs of a server: Debian's 15, or what the lab fetched of another version; empty: none.
inline fs::path programs(const std::string& version) {
  if (version == "15") {
    const fs::path debian = "/usr/lib/postgresql/15/bin";
    return fs::exists(debian / "postgres") ? debian : fs::path();
  }
  const fs::path cache = "/var/cache/lagwatch-tests";
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(cache, none)) {
    if (entry.path().filename().string().starts_with("postgres-" + version + "-") &&
        fs::exists(entry.path() / "bin" / "postgres"))
      return entry.path() / "bin";
  }
  return {};
}

// A connection of the test's own, as superuser.
class Control {
 public:
  explicit Control(const std::string& dsn) : connection_(PQconnectdb(dsn.c_str()), PQfinish) {}
  bool ok() const { return PQstatus(connection_.get()) == CONNECTION_OK; }
  std::string error() const { return PQerrorMessage(connection_.get()); }
  // The first cell of the last statement's result; empty for none.
  std::string value(const std::string& sql) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(
        PQexec(connection_.get(), sql.c_str()), PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) << sql << error();
    return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
  }

 private:
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

class Server {
 public:
  explicit Server(const std::string& version = "15") : programs_(programs(version)) {
    std::string path = (fs::temp_directory_path() / "lagwatch-pg-XXXXXX").string();
    directory_ = mkdtemp(path.data());
    if (const passwd* user = geteuid() == 0 ? getpwnam("postgres") : nullptr) {
      uid_ = user->pw_uid;
      gid_ = user->pw_gid;
      EXPECT_EQ(chown(directory_.c_str(), uid_, gid_), 0);
    }
    const pid_t initdb = run({"initdb", "-D", data(), "-U", "postgres", "-A", "trust", "-N", "-E",
                              "UTF8", "--locale=C"});
    int status = 1;
    waitpid(initdb, &status, 0);
    EXPECT_EQ(status, 0) << "initdb failed: see " << directory_;
    std::ofstream(directory_ / "data/postgresql.conf", std::ios::app)
        << "listen_addresses = ''\nfsync = off\nautovacuum = off\nmax_connections = 8\n"
           "max_wal_senders = 2\nshared_buffers = '8MB'\nunix_socket_permissions = 0777\n"
           "unix_socket_directories = '"
        << directory_.string()
        << "'\n"
           "superuser_reserved_connections = 3\nlog_min_messages = log\n";
  }
  ~Server() {
    stop(SIGQUIT);
    // What was its child may still write a file.
    const bool gone = eventually([&] {
      std::error_code ignored;
      fs::remove_all(directory_, ignored);
      return !fs::exists(directory_);
    });
    EXPECT_TRUE(gone) << directory_;
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  static bool available(const std::string& version = "15") {
    return !programs(version).empty() && (geteuid() != 0 || getpwnam("postgres") != nullptr);
  }

  // Until it takes connections; without `ready`, until it has a socket.
  void start(std::vector<std::string> settings = {}, bool ready = true) {
    std::vector<std::string> words = {"postgres", "-D", data()};
    for (const std::string& setting : settings) {
      words.emplace_back("-c");
      words.push_back(setting);
    }
    const auto attempt = [&] {
      if (pid_ == 0 || waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = run(words);
      return ready ? control().ok() : fs::exists(directory_ / ".s.PGSQL.5432");
    };
    ASSERT_TRUE(eventually(attempt)) << "the server does not start; see " << directory_ / "log";
  }
  // SIGINT: fast; SIGQUIT: immediate; SIGKILL: as if it crashed. A server that shuts down waits for
  // clients that are about to say who they are: `meanwhile` lets them.
  void stop(int signal, const std::function<void()>& meanwhile = {}) {
    if (pid_ == 0) return;
    kill(pid_, SIGCONT);
    kill(pid_, signal);
    const bool ended = eventually([&] {
      if (meanwhile) meanwhile();
      return waitpid(pid_, nullptr, WNOHANG) == pid_;
    });
    EXPECT_TRUE(ended) << "the server does not end";
    if (!ended) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
  }
  void signal(int number) const { kill(pid_, number); }

  Control control(const std::string& user = "postgres") const {
    return Control(dsn(user) + " application_name=control");
  }
  std::string dsn(const std::string& user = "postgres") const {
    return "host=" + directory_.string() + " port=5432 dbname=postgres user=" + user;
  }
  std::string data() const { return (directory_ / "data").string(); }
  const fs::path& directory() const { return directory_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
    EXPECT_EQ(chown((directory_ / name).c_str(), uid_, gid_), 0);
  }

 private:
  pid_t run(const std::vector<std::string>& words) const {
    const std::string program = (programs_ / words[0]).string();
    const std::string log = (directory_ / "log").string();
    const std::string libraries = (programs_.parent_path() / "lib").string();
    // By its whole path: it looks for its other programs beside it.
    std::vector<char*> argv = {const_cast<char*>(program.c_str())};
    for (const std::string& word : std::span(words).subspan(1))
      argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child != 0) return child;
    if (freopen(log.c_str(), "a", stdout) == nullptr || dup2(1, 2) < 0) _exit(126);
    if (uid_ != geteuid() && (setgid(gid_) != 0 || setuid(uid_) != 0)) _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);  // ends with the test, whatever ends the test
    setpgid(0, 0);
    setenv("LC_ALL", "C", 1);
    if (programs_.string().starts_with("/var/cache"))
      setenv("LD_LIBRARY_PATH", libraries.c_str(), 1);
    if (chdir("/") != 0) _exit(126);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  fs::path programs_;
  fs::path directory_;
  uid_t uid_ = geteuid();
  gid_t gid_ = getegid();
  pid_t pid_ = 0;
};

// One ask, and what came of it.
struct Asked {
  std::optional<Reply> reply;
  Instant answered{};

  bool ok() const { return reply && reply->ok() && !(*reply)->sql->error; }
  std::string text() const {
    if (!reply) return "(no reply)";
    if (!reply->ok()) return "(" + std::string(reason_name(reply->error().reason)) + ")";
    const SqlAnswer& answer = *(*reply)->sql;
    if (answer.error) return "(" + answer.error->sqlstate + ")";
    return answer.rows.empty() ? "(no row)" : std::string(answer.rows.text(0, 0));
  }
};
using AskedPtr = std::shared_ptr<Asked>;

// The client under test on a loop of its own.
class Asking {
 public:
  explicit Asking(const std::string& dsn) { server->dsn = dsn; }

  AskedPtr send(const std::string& text, Duration timeout = 10s, size_t max_bytes = 8U << 20U) {
    auto asked = std::make_shared<Asked>();
    const std::string& kept = texts_.emplace_back(text);
    const Sql& sql = sql_.emplace_back(Sql{90300, kept});
    client->ask(
        ++id, 1, SqlAsk{.server = server, .texts = {&sql, 1}, .max_bytes = max_bytes},
        now().steady + timeout, [this] { ++connected; },
        [asked](Reply reply) {
          EXPECT_FALSE(asked->reply) << "answered twice";
          asked->reply.emplace(std::move(reply));
          asked->answered = now().steady;
        });
    EXPECT_FALSE(asked->reply) << "answered from within ask()";
    return asked;
  }
  void wait(const AskedPtr& asked, Duration patience = 30s) {
    const Instant end = now().steady + patience;
    while (!asked->reply && now().steady < end) loop.run_once(now().steady + 20ms);
    EXPECT_TRUE(asked->reply) << "no reply at all";
  }
  std::string ask(const std::string& text, Duration timeout = 10s) {
    const AskedPtr asked = send(text, timeout);
    wait(asked);
    return asked->text();
  }
  void turn(Duration time = 5ms) { loop.run_once(now().steady + time); }
  bool turn_until(const std::function<bool()>& is_true) {
    return eventually([&] {
      turn();
      return is_true();
    });
  }

  std::shared_ptr<PostgresServer> server = std::make_shared<PostgresServer>();
  Loop loop;
  Resolver resolver{loop};
  std::unique_ptr<PostgresClient> client = std::make_unique<PostgresClient>(loop, resolver);
  AskId id = 0;
  int connected = 0;

 private:
  std::deque<std::string> texts_;
  std::deque<Sql> sql_;
};

// One server for the tests of a suite.
template <typename Suite>
class WithServer : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!Server::available()) return;
    shared_ = std::make_unique<Server>();
    shared_->start();
    Control control = shared_->control();
    control.value(
        "CREATE ROLE mon LOGIN; CREATE TABLE hb (ts timestamptz); INSERT INTO hb VALUES (now());"
        "GRANT SELECT, UPDATE ON hb TO mon");
  }
  static void TearDownTestSuite() { shared_.reset(); }
  void SetUp() override {
    if (!shared_) GTEST_SKIP() << "no PostgreSQL 15, or no user postgres";
    // A test before may have left it down.
    if (!shared_->control().ok()) {
      shared_->stop(SIGQUIT);
      shared_->start();
    }
  }
  Server& server() { return *shared_; }

  inline static std::unique_ptr<Server> shared_;
};

}  // namespace lagwatch::postgres_server
