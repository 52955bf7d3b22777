// SPDX-License-Identifier: Apache-2.0
#include "expose/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <prometheus/registry.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "base/fd.h"
#include "base/text.h"

namespace lagwatch {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Upper bounds of a turn of the loop, seconds: 1 ms is a good turn, 100 ms is one that scrapers
// feel.
const prometheus::Histogram::BucketBoundaries kTurnBounds{0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 2};

MetricFamily family(std::string name, std::string help, MetricType type) {
  MetricFamily out;
  out.name = std::move(name);
  out.help = std::move(help);
  out.type = type;
  return out;
}

void add(MetricFamily& to, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (to.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  to.metric.push_back(std::move(metric));
}

MetricFamily single(std::string name, std::string help, MetricType type, double value) {
  MetricFamily out = family(std::move(name), std::move(help), type);
  add(out, value);
  return out;
}

std::string read_self(const char* path) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  const ssize_t got = fd ? read(fd.get(), buffer, sizeof buffer) : -1;
  return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : std::string();
}

size_t open_fds() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(directory);
  return count - 1;  // that of the directory itself
}

// The names client libraries share, so that dashboards of processes work.
void add_process(std::vector<MetricFamily>& out) {
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  out.push_back(single("process_cpu_seconds_total", "CPU time of lagwatch, user and system.",
                       MetricType::Counter,
                       static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9));
  const std::string statm = read_self("/proc/self/statm");
  const auto pages = split_words(statm);
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  if (pages.size() > 1) {
    out.push_back(single("process_virtual_memory_bytes", "Address space of lagwatch.",
                         MetricType::Gauge, parse_number<double>(pages[0]).value_or(0) * page));
    out.push_back(single("process_resident_memory_bytes",
                         "Resident memory of lagwatch, shared pages included.", MetricType::Gauge,
                         parse_number<double>(pages[1]).value_or(0) * page));
  }
  out.push_back(single("process_open_fds", "Open file descriptors of lagwatch.", MetricType::Gauge,
                       static_cast<double>(open_fds())));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.push_back(single("process_max_fds", "Limit of file descriptors of lagwatch.",
                         MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
}

void add_http(std::vector<MetricFamily>& out, const HttpStats& stats) {
  const auto value = [](const std::atomic<uint64_t>& count) {
    return static_cast<double>(count.load());
  };
  out.push_back(single("lagwatch_http_connections", "HTTP connections open now.", MetricType::Gauge,
                       value(stats.connections)));
  out.push_back(single("lagwatch_http_connections_accepted_total", "HTTP connections accepted.",
                       MetricType::Counter, value(stats.accepted)));
  MetricFamily dropped =
      family("lagwatch_http_connections_dropped_total",
             "HTTP connections ended by lagwatch, by cause.", MetricType::Counter);
  add(dropped, value(stats.dropped_silent), {{"cause", "silent"}});
  add(dropped, value(stats.dropped_slow_request), {{"cause", "slow_request"}});
  add(dropped, value(stats.dropped_slow_answer), {{"cause", "slow_answer"}});
  add(dropped, value(stats.dropped_limit), {{"cause", "limit"}});
  out.push_back(std::move(dropped));
  out.push_back(single("lagwatch_http_accept_failures_total",
                       "HTTP connections that could not be accepted.", MetricType::Counter,
                       value(stats.accept_failures)));
  MetricFamily requests =
      family("lagwatch_http_requests_total",
             "HTTP requests answered, by known path (`other`: all others) and status.",
             MetricType::Counter);
  stats.for_each_request([&](const std::string& path, int status, uint64_t count) {
    add(requests, static_cast<double>(count),
        {{"path", path.empty() ? "other" : path},
         {"code", status == 0 ? "other" : std::to_string(status)}});
  });
  if (!requests.metric.empty()) out.push_back(std::move(requests));
}

}  // namespace

ProcessMetrics::ProcessMetrics(std::string version, std::shared_ptr<const HttpStats> stats)
    : version_(std::move(version)),
      stats_(std::move(stats)),
      turns_(&prometheus::BuildHistogram()
                  .Name("lagwatch_loop_stall_seconds")
                  .Help("Time one turn of the event loop kept everything else waiting.")
                  .Register(registry_)
                  .Add({}, kTurnBounds)) {}

void ProcessMetrics::observe_turn(Duration busy) { turns_->Observe(seconds(busy)); }

std::vector<MetricFamily> ProcessMetrics::families() const {
  std::vector<MetricFamily> out;
  MetricFamily build = family("lagwatch_build_info",
                              "1; the version of lagwatch and what built it.", MetricType::Gauge);
  add(build, 1, {{"version", version_}, {"compiler", "g++ " __VERSION__}});
  out.push_back(std::move(build));
  for (MetricFamily& registered : registry_.Collect()) out.push_back(std::move(registered));
  out.push_back(single("lagwatch_stuck_threads",
                       "Threads that hang in reading a file or directory now.", MetricType::Gauge,
                       static_cast<double>(stuck_threads_.load())));
  if (stats_) add_http(out, *stats_);
  add_process(out);
  return out;
}

}  // namespace lagwatch
