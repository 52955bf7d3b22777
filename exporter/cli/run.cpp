// SPDX-License-Identifier: Apache-2.0
// `lagwatch run`: watch and serve. Wires everything; owns the process' signals and limits.
#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <utility>

#include "base/log.h"
#include "cli/options.h"
#include "cli/session.h"
#include "client/detached.h"
#include "client/state_file.h"
#include "expose/handlers.h"
#include "expose/http_server.h"

namespace lagwatch {
namespace {

constexpr Duration kRediscover = std::chrono::seconds(60);
constexpr Duration kKeepEvery = std::chrono::seconds(60);
constexpr Duration kLastSave = std::chrono::seconds(1);  // the process must end within two

// An answer that grew large is given back to the system when freed. Below 4 MiB, what every collect
// needs again is kept: mapping and unmapping it each time was most of a collect of 1,000 servers.
void keep_memory_small() {
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  mallopt(M_ARENA_MAX, 2);
}

// A connection is a descriptor, be it of a target or of a scraper: use what the system allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Blocks the signals that end the process in all threads to come, and stops `loop` when one
// arrives.
UniqueFd stop_on_signals(Loop& loop) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  loop.watch(fd.get(), EPOLLIN, [&loop](uint32_t) { loop.stop(); });
  return fd;
}

// Looks every minute for what was started since, where the configuration leaves that to discovery.
// The search runs in a thread of its own: it reads files of others. What has gone stays a target,
// so that it is seen to be down.
class Rediscovery {
 public:
  Rediscovery(Session& session, const Config& config, std::string storage_path,
              const Discovery& first)
      : session_(session),
        config_(config),
        storage_path_(std::move(storage_path)),
        door_(std::make_shared<LoopDoor>(session.loop())) {
    remember(first);
    arm();
  }
  ~Rediscovery() { door_->close(); }
  Rediscovery(const Rediscovery&) = delete;
  Rediscovery& operator=(const Rediscovery&) = delete;

 private:
  void arm() {
    session_.loop().at(now().steady + kRediscover, [this] {
      const bool started = start_detached("discover", [door = door_, this] {
        door->post([this, found = discover({})] { take(found); });
      });
      if (!started) arm();
    });
  }

  static const std::vector<std::string>& keys_of(const DiscoveredHaproxy& one) {
    return one.sockets;
  }
  static std::vector<std::string> keys_of(const DiscoveredPostgres& one) { return {one.dsn}; }
  static std::vector<std::string> keys_of(const DiscoveredApache& one) { return {one.url}; }
  static std::vector<std::string> keys_of(const DiscoveredElasticsearch& one) { return {one.url}; }

  static std::vector<std::string> keys_of(const DiscoveredPassenger& one) {
    return {passenger_key(one)};
  }

  // Calls `visit` with the list of each kind, a pointer to member.
  template <typename Visit>
  static void each_kind(Visit visit) {
    visit(&Discovery::haproxy);
    visit(&Discovery::postgres);
    visit(&Discovery::passenger);
    visit(&Discovery::apache);
    visit(&Discovery::elasticsearch);
  }

  void remember(const Discovery& found) {
    each_kind([&](auto kind) {
      for (const auto& one : found.*kind) {
        for (const std::string& key : keys_of(one)) known_.insert(key);
      }
    });
  }

  void take(const Discovery& found) {
    Discovery fresh;
    each_kind([&](auto kind) {
      for (const auto& one : found.*kind) {
        if (!known_.contains(keys_of(one).front())) (fresh.*kind).push_back(one);
      }
    });
    Config without_host = config_;
    without_host.host.enabled = false;
    for (TargetSpec& spec : make_targets(without_host, &fresh, storage_path_)) {
      const std::string name = spec.options.name;
      for (int number = 2; session_.watches(spec.options.name); ++number) {
        spec.options.name = name + "-" + std::to_string(number);
      }
      log(LogLevel::kInfo, "found a new target", {{"target", spec.options.name}});
      session_.add(std::move(spec));
    }
    remember(fresh);
    arm();
  }

  static std::string passenger_key(const DiscoveredPassenger& passenger) {
    return "passenger " + passenger.registry;
  }

  Session& session_;
  const Config& config_;
  std::string storage_path_;
  std::shared_ptr<LoopDoor> door_;
  std::set<std::string> known_;  // sockets, DSNs, URLs
};

// What joins remember, kept over restarts: read at start, written once a minute and at the end.
class KeptMemory {
 public:
  KeptMemory(Session& session, const std::string& storage_path)
      : session_(session), file_(storage_path + "/lsn_history") {
    const std::string text = file_.load();
    if (!text.empty() && !decode(text, now(), session_.scheduler().memory().postgres))
      log(LogLevel::kWarn, "the history of WAL positions cannot be read, a new one is begun");
    arm();
  }
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  void save_last() {
    if (worth_keeping()) file_.save_and_wait(text(), now().steady + kLastSave);
  }

 private:
  bool worth_keeping() { return !session_.scheduler().memory().postgres.primaries.empty(); }
  std::string text() { return encode(session_.scheduler().memory().postgres, now()); }
  void arm() {
    session_.loop().at(now().steady + kKeepEvery, [this] {
      if (worth_keeping()) file_.save(text());
      arm();
    });
  }

  Session& session_;
  StateFile file_;
};

int serve(const CommonOptions& common, HttpServer::Options http, Loaded loaded) {
  keep_memory_small();
  raise_descriptor_limit();
  Session session;
  const UniqueFd signals = stop_on_signals(session.loop());

  const Catalog catalog(all_schemas());
  const auto stats = std::make_shared<HttpStats>();
  ProcessMetrics process(version(), stats);
  session.loop().set_on_turn([&](Duration busy) {
    process.observe_turn(busy);
    process.set_stuck_threads(session.client().stuck_threads());
  });
  const auto refresh = [&session](std::optional<std::string> target, std::function<void()> done) {
    session.loop().post([&session, target = std::move(target), done = std::move(done)] {
      session.scheduler().refresh(target, done);
    });
  };
  HttpServer server(std::move(http),
                    routes({&catalog, &session.board(), &process, version(), refresh}), stats);

  for (TargetSpec& spec :
       make_targets(loaded.config, loaded.found ? &*loaded.found : nullptr, common.storage_path)) {
    session.add(std::move(spec));
  }
  KeptMemory memory(session, common.storage_path);
  session.loop().run_once(
      now().steady);  // the first snapshot knows the targets, so that /-/ready waits for them
  const Status started = server.start();
  if (!started) {
    print_error("lagwatch: " + started.error().message +
                (started.error().fix.empty() ? "" : ": " + started.error().fix) + "\n");
    return kFailed;
  }
  std::optional<Rediscovery> rediscovery;
  if (loaded.found) {
    for (const std::string& problem : loaded.found->problems)
      log(LogLevel::kWarn, "discovery", {{"problem", problem}});
    if (!loaded.from_file) {
      rediscovery.emplace(session, loaded.config, common.storage_path, *loaded.found);
    }
  }
  for (const std::string& address : server.addresses()) {
    log(LogLevel::kInfo, "listening", {{"address", address}, {"version", version()}});
  }
  session.loop().run();
  server.stop();
  memory.save_last();
  log(LogLevel::kInfo, "stopped");
  return kFine;
}

}  // namespace

int run_command(const Arguments& arguments) {
  CLI::App app("Watches the targets and serves their metrics.", "lagwatch run");
  CommonOptions common;
  HttpServer::Options http;
  add_common_options(app, common);
  app.add_option("--web.listen-address", http.listen,
                 "Address and port; may be repeated. `:10093`: all addresses")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  auto loaded = load(common);
  if (!loaded) return kUsage;
  return serve(common, std::move(http), std::move(*loaded));
}

}  // namespace lagwatch
