// SPDX-License-Identifier: Apache-2.0
// Apache httpd from mod_status, with apache_exporter's names. Every request that waits in
// Passenger's queue holds one of its workers, so they may all be busy before that queue is full.
// Source: GET /server-status?auto, 2.2 to 2.4 (connections and generations: 2.4). The request for
// it holds a worker itself: at least one is busy.
#include "collector/apache.h"

#include <array>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr std::string_view kWorkerStates[] = {"busy", "idle"};
constexpr std::string_view kTypes[] = {"user", "system"};
constexpr std::string_view kGenerations[] = {"config", "mpm"};
constexpr std::string_view kIntervals[] = {"1min", "5min", "15min"};
constexpr std::string_view kConnections[] = {"total", "writing", "keepalive", "closing"};
constexpr std::string_view kProcesses[] = {"all", "stopping"};
// In the order of kScoreboard.
constexpr std::string_view kSlots[] = {"idle",          "startup",      "read",     "reply",
                                       "keepalive",     "dns",          "closing",  "logging",
                                       "graceful_stop", "idle_cleanup", "open_slot"};
constexpr std::string_view kScoreboard = "_SRWKDCLGI.";

constexpr Column each(std::string_view name, std::string_view source, std::string_view help,
                      std::string_view label, std::span<const std::string_view> values,
                      Type type = Type::kGauge, double scale = 1) {
  return {.name = name,
          .type = type,
          .source = source,
          .help = help,
          .scale = scale,
          .label = label,
          .values = values,
          .expand = Expand::kEach};
}

enum {
  kAccesses,
  kKilobytes,
  kDuration,
  kCpuTime,
  kCpuLoad,
  kUptime,
  kGeneration,
  kLoad,
  kWorkers,
  kScore,
  kConns,
  kProcs,
  kVersion
};
constexpr Column kColumns[] = {
    counter("apache_accesses_total", "Total Accesses", "Requests served."),
    counter("apache_sent_kilobytes_total", "Total kBytes", "Sent, kilobytes."),
    counter("apache_duration_ms_total", "Total Duration", "Time spent on requests, milliseconds."),
    each("apache_cpu_time_ms_total", "CPUUser, CPUSystem, CPUChildren*",
         "CPU time of the server and of children that ended, milliseconds.", "type", kTypes,
         Type::kCounter, 1000),
    gauge("apache_cpuload", "CPULoad", "CPU used since the start, percent of one."),
    counter("apache_uptime_seconds_total", "Uptime", "Since the start, seconds."),
    each("apache_generation", "ParentServer*Generation", "How often it was restarted gracefully.",
         "type", kGenerations),
    each("apache_load", "Load1, Load5, Load15", "Load average of the host.", "interval",
         kIntervals),
    each("apache_workers", "BusyWorkers, IdleWorkers",
         "Workers; busy ones include the one that answers this question.", "state", kWorkerStates),
    each("apache_scoreboard", "Scoreboard",
         "Slots for workers by what is done in them; open ones have no worker yet.", "state",
         kSlots),
    each("apache_connections", "Conns*", "Connections of asynchronous MPMs.", "state",
         kConnections),
    each("apache_processes", "Processes, Stopping", "Processes of asynchronous MPMs.", "state",
         kProcesses),
    gauge("apache_version", "ServerVersion", "2.4.57 is 2.04057."),
};
constexpr Schema kSchema{{}, kColumns};

constexpr std::string_view kInfoLabels[] = {"version", "mpm"};
constexpr Column kInfoColumns[] = {
    gauge("apache_info", "ServerVersion, ServerMPM", "1; what it is."),
};
constexpr Schema kInfoSchema{kInfoLabels, kInfoColumns};
constexpr const Schema* kSchemas[] = {&kSchema, &kInfoSchema};

constexpr Column kUpColumns[] = {
    gauge("apache_up", "", "1 while the server's status can be read."),
};
constexpr Schema kUpSchema{{}, kUpColumns};

struct ApacheState : State {
  ApacheOptions options;
};

ApacheState& mine(State& state) { return static_cast<ApacheState&>(state); }

// Where a line's number goes.
struct Key {
  std::string_view key;
  size_t column;
  size_t element = 0;
};
constexpr Key kKeys[] = {
    {"Total Accesses", kAccesses},
    {"Total kBytes", kKilobytes},
    {"Total Duration", kDuration},
    {"CPULoad", kCpuLoad},
    {"Uptime", kUptime},
    {"ParentServerConfigGeneration", kGeneration, 0},
    {"ParentServerMPMGeneration", kGeneration, 1},
    {"Load1", kLoad, 0},
    {"Load5", kLoad, 1},
    {"Load15", kLoad, 2},
    {"BusyWorkers", kWorkers, 0},
    {"IdleWorkers", kWorkers, 1},
    {"BusyServers", kWorkers, 0},  // 1.3
    {"IdleServers", kWorkers, 1},
    {"ConnsTotal", kConns, 0},
    {"ConnsAsyncWriting", kConns, 1},
    {"ConnsAsyncKeepAlive", kConns, 2},
    {"ConnsAsyncClosing", kConns, 3},
    {"Processes", kProcs, 0},
    {"Stopping", kProcs, 1},
};
// Children's time is that of processes that have ended: the sum is what grows.
constexpr Key kCpuKeys[] = {
    {"CPUUser", kCpuTime, 0},
    {"CPUSystem", kCpuTime, 1},
    {"CPUChildrenUser", kCpuTime, 0},
    {"CPUChildrenSystem", kCpuTime, 1},
};

// "Apache/2.4.57 (Debian)" as apache_exporter writes it; nothing where the version is hidden.
std::optional<double> version_number(std::string_view text) {
  constexpr std::string_view kName = "Apache/";
  const size_t begin = text.find(kName);
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin + kName.size());
  const std::string_view version = text.substr(0, text.find(' '));
  const size_t first = version.find('.');
  const size_t second = version.find('.', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  const auto major = parse_number<unsigned>(version.substr(0, first));
  const auto minor = parse_number<unsigned>(version.substr(first + 1, second - first - 1));
  const auto patch = parse_number<unsigned>(version.substr(second + 1));
  if (!major || !minor || !patch) return std::nullopt;
  // Written and read again: the digits are meant, not what their sum rounds to.
  char digits[32];
  std::snprintf(digits, sizeof digits, "%u.%02u%03u", *major, *minor, *patch);
  return parse_number<double>(digits);
}

class Page {
 public:
  explicit Page(Output& out) : table_(out.table(kSchema)) { table_.add_row(); }

  void take(std::string_view line) {
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return;
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 2));
    if (key == "Scoreboard") return count_slots(value);
    if (key == "ServerVersion") {
      version_ = value;
      if (const auto number = version_number(value)) table_.set(0, kVersion, *number);
      return;
    }
    if (key == "ServerMPM") mpm_ = value;
    const auto number = parse_number<double>(value);
    if (!number) return;
    for (const Key& known : kKeys) {
      if (known.key == key) table_.set(0, known.column, *number, known.element);
    }
    for (const Key& known : kCpuKeys) {
      if (known.key == key) add_cpu(known.element, *number);
    }
    if (key == "BusyWorkers" || key == "BusyServers") is_status_ = true;
  }

  void finish(Output& out) {
    for (size_t i = 0; i < cpu_.size(); ++i) {
      if (cpu_[i]) table_.set(0, kCpuTime, *cpu_[i], i);
    }
    if (version_.empty()) return;  // before 2.4
    const std::string_view labels[] = {version_, mpm_};
    Table& info = out.table(kInfoSchema);
    info.set(info.add_row(labels), 0, 1);
  }

  bool is_status() const { return is_status_; }

 private:
  void count_slots(std::string_view slots) {
    std::array<double, std::size(kSlots)> counts{};
    for (const char slot : slots) {
      const size_t state = kScoreboard.find(slot);
      if (state != std::string_view::npos) ++counts[state];
    }
    table_.set_each(0, kScore, counts);
  }
  void add_cpu(size_t type, double seconds) { cpu_[type] = cpu_[type].value_or(0) + seconds; }

  Table& table_;
  std::string_view version_;
  std::string_view mpm_;
  std::array<std::optional<double>, std::size(kTypes)> cpu_;
  bool is_status_ = false;
};

Asks begin(State& state) {
  const ApacheOptions& options = mine(state).options;
  HttpAsk ask{.url = options.url,
              .user = options.user,
              .password_file = options.password_file,
              .ca_file = options.ca_file,
              .max_bytes = 1U << 20U};
  if (!options.host_header.empty()) ask.headers.push_back("Host: " + options.host_header);
  Asks asks;
  asks.emplace_back(std::move(ask));
  return asks;
}

Step read(State& state, std::span<Reply> replies, const Moment&, Output& out) {
  const std::string& url = mine(state).options.url;
  if (!replies[0].ok()) {
    Error error = replies[0].error();
    if (error.reason == Reason::kHung && error.fix.empty())
      error.fix = "if the server is not stopped, all its workers are busy: see apache_workers";
    if (error.reason == Reason::kAuth && mine(state).options.user.empty())
      error.fix =
          "allow it in the server's configuration: <Location \"/server-status\"> Require local";
    return error;
  }
  Page page(out);
  for (std::string_view rest = replies[0]->body; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    page.take(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!page.is_status()) {
    return Error{Reason::kProtocol, url + ": no status of Apache's in the answer",
                 "name the path where mod_status answers, with ?auto; where an application "
                 "answers instead, set SetHandler server-status there"};
  }
  page.finish(out);
  return Done{};
}

}  // namespace

std::unique_ptr<State> make_apache_state(ApacheOptions options) {
  auto state = std::make_unique<ApacheState>();
  state->options = std::move(options);
  return state;
}

const Kind kApacheKind{"apache", "apache_up", &kUpSchema};

extern const Collector apache{"apache", &kApacheKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
