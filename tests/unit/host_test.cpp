// SPDX-License-Identifier: Apache-2.0
// The host collector against recorded and broken /proc files.
#include "collector/host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "paths.h"

namespace lagwatch {
extern const Collector host;

namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;  // by path below /proc
using Samples = std::map<std::string, double>;     // by `name{labels}`
using Filesystems = std::map<std::string, Reply>;  // by the path asked for

const fs::path kData = fs::path(kTestData) / "host";

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Files load(const fs::path& directory) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = fs::relative(entry.path(), directory).string();
    if (entry.is_regular_file() && entry.path().extension() != ".txt") {
      files[name] = slurp(entry.path());
    }
  }
  return files;
}

Error no_such_file(const std::string& path) {
  return {Reason::kRefused, path + ": no such file", ""};
}

Reply answer(const Ask& ask, const Files& files, const Filesystems& filesystems) {
  if (const auto* file = std::get_if<FileAsk>(&ask)) {
    const auto found = files.find(file->path.substr(std::string("/proc/").size()));
    if (found == files.end()) return no_such_file(file->path);
    return Answer{.body = found->second, .filesystem = {}};
  }
  const std::string& path = std::get<FilesystemAsk>(ask).path;
  const auto found = filesystems.find(path);
  return found == filesystems.end() ? Reply(no_such_file(path)) : found->second;
}

Step exchange(State& state, const Files& files, const Filesystems& filesystems, Output& out) {
  std::vector<Reply> replies;
  for (const Ask& ask : host.begin(state)) replies.push_back(answer(ask, files, filesystems));
  return host.read(state, replies, Moment{}, out);
}

std::string sample_name(const Table& table, size_t row, const Column& column, size_t element) {
  std::string labels(table.labels(row));
  if (!column.label.empty()) append_label(labels, column.label, column.values[element]);
  return std::string(column.name) + (labels.empty() ? "" : "{" + labels + "}");
}

// Every sample in the order of the tables.
std::vector<std::pair<std::string, double>> samples_in_order(const Output& out) {
  std::vector<std::pair<std::string, double>> samples;
  for (const Table& table : out.tables) {
    for (size_t row = 0; row < table.rows(); ++row) {
      for (size_t i = 0; i < table.schema().columns.size(); ++i) {
        const Column& column = table.schema().columns[i];
        for (size_t element = 0; element < cell_count(column); ++element) {
          const double value = table.value(row, i, element);
          if (!std::isnan(value)) {
            samples.emplace_back(sample_name(table, row, column, element), value);
          }
        }
      }
    }
  }
  return samples;
}

Samples samples_of(const Output& out) {
  Samples samples;
  for (const auto& [name, value] : samples_in_order(out)) {
    EXPECT_TRUE(samples.emplace(name, value).second) << name << " twice";
  }
  return samples;
}

Samples collect(State& state, const Files& files, const Filesystems& filesystems = {}) {
  Output out("");
  EXPECT_TRUE(std::holds_alternative<Done>(exchange(state, files, filesystems, out)));
  return samples_of(out);
}

Samples collect(const Files& files, const Filesystems& filesystems = {}) {
  const auto state = make_host_state({});
  return collect(*state, files, filesystems);
}

Reply filesystem(Filesystem measured) {
  return Answer{.body = {}, .filesystem = std::move(measured)};
}

Filesystem root() {
  return {.device = "/dev/vda1",
          .fstype = "ext4",
          .mountpoint = "/",
          .size_bytes = 1000,
          .free_bytes = 400,
          .avail_bytes = 300,
          .files = 50,
          .files_free = 20,
          .readonly = false};
}

// The lines of metrics.txt, or the one of error.txt.
std::string render(const fs::path& directory, std::string& file) {
  const auto state = make_host_state({});
  Output out("");
  const Step step = exchange(*state, load(directory), {}, out);
  std::string text;
  if (const auto* error = std::get_if<Error>(&step)) {
    file = "error.txt";
    return std::string(reason_name(error->reason)) + ": " + error->message + "\n";
  }
  file = "metrics.txt";
  for (const auto& [name, value] : samples_in_order(out)) {
    char digits[40];  // 15 of them: scaling may cost the last bit
    const auto end = std::to_chars(digits, std::end(digits), value, std::chars_format::general, 15);
    text += name + " " + std::string(digits, end.ptr) + "\n";
  }
  return text;
}

TEST(HostCollector, EveryCaseGivesItsGoldenSamplesOrError) {
  size_t cases = 0;
  for (const auto& kernel : fs::directory_iterator(kData)) {
    if (!kernel.is_directory()) continue;
    for (const auto& test_case : fs::directory_iterator(kernel.path())) {
      SCOPED_TRACE(test_case.path());
      ++cases;
      std::string file;
      const std::string text = render(test_case.path(), file);
      const fs::path golden = test_case.path() / file;
      if (std::getenv("LAGWATCH_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << text;
      EXPECT_EQ(text, slurp(golden));
      const fs::path other = test_case.path() / (file == "error.txt" ? "metrics.txt" : "error.txt");
      EXPECT_FALSE(fs::exists(other)) << other;
    }
  }
  EXPECT_GE(cases, 5U);
}

TEST(HostCollector, OldKernelHasNoMemAvailableSample) {
  const Samples samples = collect(load(kData / "3.13/ok"));
  EXPECT_TRUE(samples.contains("node_memory_MemFree_bytes"));
  EXPECT_FALSE(samples.contains("node_memory_MemAvailable_bytes"));
}

TEST(HostCollector, OldKernelHasNoOomKillAndNoPressureSamples) {
  const Samples samples = collect(load(kData / "3.13/ok"));
  EXPECT_EQ(samples.at("node_vmstat_pswpout"), 9731);
  for (const auto& [name, value] : samples) {
    EXPECT_EQ(name.find("oom_kill"), std::string::npos);
    EXPECT_EQ(name.find("pressure"), std::string::npos);
  }
}

TEST(HostCollector, MemoryIsInBytesAndTimeInSeconds) {
  const Samples samples = collect({{"meminfo", "MemTotal:  3 kB\n"},
                                   {"stat", "cpu0 150 1 2 3 4 5 6 7 8 9\n"},
                                   {"pressure/io", "some avg10=0.00 total=2500000\n"}});
  EXPECT_EQ(samples.at("node_memory_MemTotal_bytes"), 3072);
  EXPECT_DOUBLE_EQ(samples.at("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}"), 1.5);
  EXPECT_DOUBLE_EQ(samples.at("node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"}"), 0.07);
  EXPECT_DOUBLE_EQ(samples.at("node_pressure_io_waiting_seconds_total"), 2.5);
  EXPECT_FALSE(samples.contains("node_pressure_io_stalled_seconds_total"));
}

TEST(HostCollector, ACutFileGivesTheTrueValueOrNone) {
  const Files whole = load(kData / "6.18/ok");
  const Samples truth = collect(whole);
  for (const auto& [name, text] : whole) {
    for (size_t length = 0; length < text.size(); ++length) {
      Files files = whole;
      files[name].resize(length);
      for (const auto& [sample, value] : collect(files)) {
        ASSERT_EQ(value, truth.at(sample)) << name << " cut at " << length << ": " << sample;
      }
    }
  }
}

TEST(HostCollector, OneReadableFileOfThreeIsEnough) {
  const Files whole = load(kData / "6.18/ok");
  for (const char* name : {"meminfo", "loadavg", "stat"}) {
    EXPECT_FALSE(collect({{name, whole.at(name)}}).empty()) << name;
  }
}

TEST(HostCollector, NoneOfTheThreeIsAnErrorThatNamesAFile) {
  const auto state = make_host_state({});
  const Files whole = load(kData / "6.18/ok");
  Output out("");
  const Step step =
      exchange(*state, {{"vmstat", whole.at("vmstat")}}, {{"/", filesystem(root())}}, out);
  ASSERT_TRUE(std::holds_alternative<Error>(step));
  EXPECT_EQ(std::get<Error>(step).message, "/proc/meminfo: no such file");
}

TEST(HostCollector, AsksForRootOnceWhateverThePathsAre) {
  HostOptions options;
  options.paths = {"/srv", "/", "/srv"};
  const auto state = make_host_state(options);
  std::vector<std::string> paths;
  for (const Ask& ask : host.begin(*state)) {
    if (const auto* wanted = std::get_if<FilesystemAsk>(&ask)) paths.push_back(wanted->path);
  }
  EXPECT_EQ(paths, (std::vector<std::string>{"/", "/srv"}));
}

TEST(HostCollector, PathsOfOneFilesystemAreOneRow) {
  HostOptions options;
  options.paths = {"/srv", "/mnt/wal"};
  const auto state = make_host_state(options);
  Filesystem wal = root();
  wal.mountpoint = "/mnt/wal";
  const Samples samples = collect(
      *state, load(kData / "6.18/ok"),
      {{"/", filesystem(root())}, {"/srv", filesystem(root())}, {"/mnt/wal", filesystem(wal)}});
  const std::string labels = "{device=\"/dev/vda1\",fstype=\"ext4\",mountpoint=\"/\"}";
  EXPECT_EQ(samples.at("node_filesystem_size_bytes" + labels), 1000);
  EXPECT_EQ(samples.at("node_filesystem_free_bytes" + labels), 400);
  EXPECT_EQ(samples.at("node_filesystem_avail_bytes" + labels), 300);
  EXPECT_EQ(samples.at("node_filesystem_files" + labels), 50);
  EXPECT_EQ(samples.at("node_filesystem_files_free" + labels), 20);
  EXPECT_EQ(samples.at("node_filesystem_readonly" + labels), 0);
  EXPECT_EQ(
      std::count_if(samples.begin(), samples.end(),
                    [](const auto& s) { return s.first.starts_with("node_filesystem_size"); }),
      2);
}

TEST(HostCollector, HungFilesystemLosesOnlyItsOwnSamples) {
  HostOptions options;
  options.paths = {"/mnt/nfs"};
  const auto state = make_host_state(options);
  const Samples samples =
      collect(*state, load(kData / "6.18/ok"),
              {{"/", filesystem(root())}, {"/mnt/nfs", Error{Reason::kHung, "hung", ""}}});
  EXPECT_TRUE(samples.contains("node_load1"));
  EXPECT_EQ(std::count_if(samples.begin(), samples.end(),
                          [](const auto& s) { return s.first.starts_with("node_filesystem_"); }),
            6);
}

TEST(HostCollector, FilesystemWithoutAnInodeLimitHasNoInodeSamples) {
  Filesystem btrfs = root();
  btrfs.files = 0;
  btrfs.files_free = 0;
  const Samples samples = collect(load(kData / "6.18/ok"), {{"/", filesystem(btrfs)}});
  for (const auto& [name, value] : samples) {
    EXPECT_FALSE(name.starts_with("node_filesystem_files"));
  }
}

TEST(HostCollector, IdleThatStepsBackIsHeldButAReplacedCpuCountsAnew) {
  const auto state = make_host_state({});
  const std::string idle = "node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"}";
  const std::string iowait = "node_cpu_seconds_total{cpu=\"1\",mode=\"iowait\"}";
  const auto read = [&](const std::string& line) { return collect(*state, {{"stat", line}}); };
  EXPECT_DOUBLE_EQ(read("cpu1 0 0 0 1000 500 0 0 0\n").at(idle), 10);
  const Samples held = read("cpu1 0 0 0 999 480 0 0 0\n");
  EXPECT_DOUBLE_EQ(held.at(idle), 10);
  EXPECT_DOUBLE_EQ(held.at(iowait), 5);
  EXPECT_DOUBLE_EQ(read("cpu1 0 0 0 1001 501 0 0 0\n").at(iowait), 5.01);
  const Samples anew = read("cpu1 0 0 0 2 1 0 0 0\n");
  EXPECT_DOUBLE_EQ(anew.at(idle), 0.02);
  EXPECT_DOUBLE_EQ(anew.at(iowait), 0.01);
}

TEST(HostCollector, CpuThatWentOfflineHasNoSamples) {
  const auto state = make_host_state({});
  EXPECT_EQ(collect(*state, {{"stat", "cpu0 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1\n"}}).size(),
            16U);
  EXPECT_EQ(collect(*state, {{"stat", "cpu0 1 1 1 1 1 1 1 1\n"}}).size(), 8U);
}

TEST(HostCollector, EveryHelpNamesItsSource) {
  for (const Schema* schema : host.schemas) {
    for (const Column& column : schema->columns) {
      const bool names_it =
          column.help.starts_with("/proc/") || column.help.starts_with("statvfs ");
      EXPECT_TRUE(names_it) << column.name;
      EXPECT_TRUE(column.name.starts_with("node_")) << column.name;
      EXPECT_TRUE(column.help.ends_with('.')) << column.name;
    }
  }
}

}  // namespace
}  // namespace lagwatch
