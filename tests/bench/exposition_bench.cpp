// SPDX-License-Identifier: Apache-2.0
// What lagwatch costs within its own process: writing an exposition, and making samples of
// HAProxy's answer. CPU time of this thread, subjects in turn in each round. One JSON object a
// line: tests/bench/run reads them.
#include <malloc.h>
#include <prometheus/text_serializer.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "collector/collector.h"
#include "collector/haproxy.h"
#include "collector/haproxy_stat.h"
#include "cpu.h"
#include "expose/catalog.h"
#include "expose/exposition.h"
#include "expose/gzip.h"
#include "plain_reader.h"

namespace lagwatch {
namespace {

constexpr size_t kDefaultRounds = 7;
constexpr size_t kMaxRounds = 100;
// 100,000 series: this many rows of this many columns.
constexpr size_t kRows = 2000;
constexpr size_t kColumnCount = 50;
constexpr size_t kServerCounts[] = {10, 1000, 10000};

// One thing that is measured; `run` returns how many bytes it made or read.
struct Subject {
  std::string name;
  std::function<size_t()> run;
  size_t repeat = 1;  // runs in one measurement: the clock should see some 100 microseconds
  std::vector<double> cpu_ms = {};
  size_t bytes = 0;
};

void measure(std::vector<Subject>& subjects, size_t rounds) {
  for (Subject& subject : subjects) subject.bytes = subject.run();  // not counted: warms up
  for (size_t round = 0; round < rounds; ++round) {
    for (Subject& subject : subjects) {
      const double begin = thread_cpu_ms();
      for (size_t i = 0; i < subject.repeat; ++i) subject.run();
      subject.cpu_ms.push_back((thread_cpu_ms() - begin) / static_cast<double>(subject.repeat));
    }
  }
  for (Subject& subject : subjects) {
    std::sort(subject.cpu_ms.begin(), subject.cpu_ms.end());
    std::printf(
        "{\"name\": \"%s\", \"best_ms\": %.4f, \"median_ms\": %.4f, \"bytes\": %zu, "
        "\"rounds\": %zu}\n",
        subject.name.c_str(), subject.cpu_ms.front(), subject.cpu_ms[rounds / 2], subject.bytes,
        rounds);
  }
  std::fflush(stdout);
}

// --- 100,000 series ---

enum class Numbers { kLikeHaproxy, kRandom };

// Like HAProxy: many zeros, counters, a few milliseconds. Random: 17 digits each, the worst there
// is.
double draw(Numbers numbers, std::mt19937_64& random) {
  if (numbers == Numbers::kRandom) return std::uniform_real_distribution<>(0, 1)(random);
  switch (random() % 4) {
    case 0:
      return 0;
    case 1:
      return static_cast<double>(random() % 100);
    case 2:
      return static_cast<double>(random() % 10'000'000'000);
    default:
      return static_cast<double>(random() % 100'000) / 1000;
  }
}

// The same series for lagwatch (a snapshot of one target) and for prometheus-cpp (families). Four
// labels: target and site of the target, proxy and server of the row.
class Series {
 public:
  explicit Series(Numbers numbers) {
    for (size_t c = 0; c < kColumnCount; ++c) {
      names_.push_back("haproxy_server_bench_of_column_" + std::to_string(c) + "_total");
      columns_.push_back({.name = "", .type = Type::kCounter, .help = "One of many counters."});
    }
    for (size_t c = 0; c < kColumnCount; ++c) columns_[c].name = names_[c];
    schema_ = Schema{kLabels, columns_};
    catalog_ = std::make_unique<Catalog>(std::vector<const Schema*>{&schema_});

    auto output = std::make_shared<Output>(std::string(kBase));
    Table& table = output->table(schema_);
    std::mt19937_64 random(42);
    for (size_t c = 0; c < kColumnCount; ++c) {
      families_.push_back(
          {names_[c], "One of many counters.", prometheus::MetricType::Counter, {}});
    }
    for (size_t r = 0; r < kRows; ++r) {
      const std::string proxy = "backend" + std::to_string(r / 100);
      const std::string server = "app" + std::to_string(r % 100);
      const std::string_view labels[] = {proxy, server};
      table.add_row(labels);
      for (size_t c = 0; c < kColumnCount; ++c) {
        const double value = draw(numbers, random);
        table.set(r, c, value);
        prometheus::ClientMetric& metric = families_[c].metric.emplace_back();
        metric.label = {{"target", "lb1"}, {"site", "shop"}, {"proxy", proxy}, {"server", server}};
        metric.counter.value = value;
      }
    }
    table.shrink_to_fit();
    publish(std::move(output));
  }
  Series(const Series&) = delete;
  Series& operator=(const Series&) = delete;

  std::unique_ptr<BodySource> exposition(Exposition format) const {
    return std::make_unique<ExpositionSource>(*catalog_, snapshot_, now(),
                                              ExpositionSource::Options{format, {}, {}});
  }
  const std::vector<prometheus::MetricFamily>& families() const { return families_; }

 private:
  static constexpr std::string_view kBase = "target=\"lb1\",site=\"shop\"";
  static constexpr std::string_view kLabels[] = {"proxy", "server"};

  void publish(std::shared_ptr<const Output> output) {
    auto info =
        std::make_shared<const TargetInfo>(TargetInfo{&kHaproxyKind, "lb1", std::string(kBase)});
    auto view = std::make_shared<TargetView>();
    view->info = std::move(info);
    view->tried = view->up = true;
    CollectorView& collector = view->collectors.emplace_back();
    collector.name = "bench";
    collector.output = std::move(output);
    collector.expires_at = Instant::max();
    collector.tried = true;
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->targets.push_back(std::move(view));
    snapshot_ = std::move(snapshot);
  }

  std::vector<std::string> names_;
  std::vector<Column> columns_;
  Schema schema_{};
  std::unique_ptr<Catalog> catalog_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<prometheus::MetricFamily> families_;
};

// Reads a body piece by piece as the server does, and forgets it.
size_t drain(std::unique_ptr<BodySource> source) {
  size_t bytes = 0;
  std::string chunk;
  for (source->next(chunk); !chunk.empty(); source->next(chunk)) bytes += chunk.size();
  return bytes;
}

// As prometheus-cpp's own server packs a body: whole, zlib's default level, memory level 9.
size_t pack_whole(std::string body) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 9,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    die("zlib");
  }
  std::string packed(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(body.data());
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) die("zlib");
  const size_t bytes = stream.total_out;
  deflateEnd(&stream);
  return bytes;
}

void bench_exposition(size_t rounds) {
  const Series series(Numbers::kLikeHaproxy);
  const Series worst(Numbers::kRandom);
  const prometheus::TextSerializer serializer;
  const auto serialize = [&](const Series& of) {
    std::ostringstream out;
    serializer.Serialize(out, of.families());
    return out.str();
  };
  std::vector<Subject> subjects{
      {"exposition_plain", [&] { return drain(series.exposition(Exposition::kText004)); }},
      {"exposition_plain_prometheus_cpp", [&] { return serialize(series).size(); }},
      {"exposition_gzip", [&] { return drain(gzip(series.exposition(Exposition::kText004))); }},
      {"exposition_gzip_prometheus_cpp", [&] { return pack_whole(serialize(series)); }},
      {"exposition_openmetrics",
       [&] { return drain(series.exposition(Exposition::kOpenMetrics100)); }},
      {"exposition_random_plain", [&] { return drain(worst.exposition(Exposition::kText004)); }},
      {"exposition_random_plain_prometheus_cpp", [&] { return serialize(worst).size(); }},
      {"exposition_random_gzip",
       [&] { return drain(gzip(worst.exposition(Exposition::kText004))); }},
  };
  measure(subjects, rounds);
}

// --- HAProxy's answer ---

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) die("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The lines of a real `show stat`: the header, and one row of a name and type to be multiplied.
struct StatLines {
  std::string header;
  std::string server;  // an UP one that is checked
  std::string backend;
  std::string frontend;
};

StatLines read_lines() {
  std::istringstream csv(read_file(LAGWATCH_BENCH_DATA "/show_stat.csv"));
  StatLines lines;
  std::getline(csv, lines.header);
  for (std::string line; std::getline(csv, line);) {
    if (line.find(",FRONTEND,") != std::string::npos) {
      lines.frontend = line;
    } else if (line.find(",BACKEND,") != std::string::npos) {
      lines.backend = line;
    } else if (line.find(",UP,") != std::string::npos) {
      lines.server = line;
    }
  }
  if (lines.server.empty() || lines.backend.empty() || lines.frontend.empty())
    die("the golden show stat has no server that is UP");
  return lines;
}

// `line` with its first two cells replaced.
std::string renamed(const std::string& line, const std::string& proxy, const std::string& name) {
  return proxy + ',' + name + line.substr(line.find(',', line.find(',') + 1)) + '\n';
}

// The answer to "show info;show stat" of an HAProxy with backends of 100 servers.
std::string haproxy_answer(size_t servers) {
  const StatLines lines = read_lines();
  std::string body = read_file(LAGWATCH_BENCH_DATA "/show_info.txt");
  while (body.ends_with('\n')) body.pop_back();
  body += "\n\n" + lines.header + '\n' + renamed(lines.frontend, "www", "FRONTEND");
  for (size_t first = 0, b = 0; first < servers; first += 100, ++b) {
    const std::string proxy = "be" + std::to_string(b);
    for (size_t s = first; s < std::min(first + 100, servers); ++s)
      body += renamed(lines.server, proxy, "app" + std::to_string(s));
    body += renamed(lines.backend, proxy, "BACKEND");
  }
  return body + '\n';
}

const Collector& haproxy_collector() {
  for (const Collector* collector : collectors()) {
    if (collector->name == "haproxy") return *collector;
  }
  die("no collector haproxy");
}

class HaproxyBench {
 public:
  explicit HaproxyBench(size_t servers) : state_(make_haproxy_state(options())), servers_(servers) {
    replies_.emplace_back(Answer{haproxy_answer(servers), {}});
  }

  std::string_view body() const { return replies_.front()->body; }

  size_t parse() {
    const auto answer = split_answer(body());
    const auto dump = parse_stat(answer->stat, StatEnd::kEmptyLine);
    if (!dump.ok() || dump->rejected != 0 || dump->rows.size() <= servers_) die("not all rows");
    return body().size();
  }

  // As the scheduler does: a fresh output, filled, shrunk, kept until the next one is there.
  size_t collect() {
    auto output = std::make_shared<Output>("target=\"lb1\",site=\"shop\"");
    const Step step = haproxy_collector().read(*state_, replies_, now(), *output);
    if (!std::holds_alternative<Done>(step)) die("the collector refused the answer");
    for (Table& table : output->tables) table.shrink_to_fit();
    shown_ = std::move(output);
    return body().size();
  }

 private:
  static HaproxyOptions options() {
    HaproxyOptions options;
    options.sockets = {"/bench"};
    return options;
  }

  std::unique_ptr<State> state_;
  size_t servers_;
  std::vector<Reply> replies_;
  std::shared_ptr<const Output> shown_;
};

void bench_haproxy(size_t rounds) {
  std::vector<std::unique_ptr<HaproxyBench>> benches;
  std::vector<Subject> subjects;
  for (const size_t servers : kServerCounts) {
    HaproxyBench& bench = *benches.emplace_back(std::make_unique<HaproxyBench>(servers));
    const std::string suffix = "_" + std::to_string(servers);
    const size_t repeat = std::max<size_t>(1, 1000 / servers);
    subjects.push_back({"haproxy_parse" + suffix, [&bench] { return bench.parse(); }, repeat});
    subjects.push_back({"haproxy_collect" + suffix, [&bench] { return bench.collect(); }, repeat});
  }
  measure(subjects, rounds);
}

bool optimised() {
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

}  // namespace
}  // namespace lagwatch

int main(int argc, char** argv) {
  using lagwatch::parse_number;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 4 && arguments[0] == "reader") {
    const auto count = parse_number<size_t>(arguments[2]).value_or(0);
    const auto pause = parse_number<uint32_t>(arguments[3]).value_or(0);
    if (count > 0 && count <= 1000 && pause <= 1000) {
      lagwatch::bench_reader(arguments[1], count, std::chrono::milliseconds(pause));
      return 0;
    }
  }
  size_t rounds = arguments.empty() ? lagwatch::kDefaultRounds : 0;
  if (arguments.size() == 1) rounds = parse_number<size_t>(arguments[0]).value_or(0);
  if (rounds == 0 || rounds > lagwatch::kMaxRounds) {
    std::fprintf(stderr,
                 "usage: lagwatch_bench [ROUNDS]                        1 to %zu, default %zu\n"
                 "       lagwatch_bench reader SOCKET COUNT PAUSE_MS    at most 1000 each\n",
                 lagwatch::kMaxRounds, lagwatch::kDefaultRounds);
    return 2;
  }
  // As `lagwatch run` sets it.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  mallopt(M_ARENA_MAX, 2);
  std::printf("{\"name\": \"build\", \"optimised\": %s}\n",
              lagwatch::optimised() ? "true" : "false");
  lagwatch::bench_exposition(rounds);
  lagwatch::bench_haproxy(rounds);
  return 0;
}
