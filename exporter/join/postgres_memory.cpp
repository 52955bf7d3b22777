// SPDX-License-Identifier: Apache-2.0
#include "join/postgres_memory.h"

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr std::string_view kHeader = "lagwatch lsn history 1";
constexpr Duration kOldest = std::chrono::hours(24);
constexpr size_t kMaxTimelines = 256;

// One line of four words: system identifier, timeline, milliseconds since 1970, position.
void decode_line(std::string_view line, const Moment& now, PostgresMemory& memory) {
  const auto words = split_words(line);
  if (words.size() != 4) return;
  const auto timeline = parse_number<uint32_t>(words[1]);
  const auto milliseconds = parse_number<int64_t>(words[2]);
  const auto lsn = parse_number<Lsn>(words[3]);
  if (!timeline || !milliseconds || !lsn) return;
  const Duration wall = now.wall.time_since_epoch();
  if (*milliseconds > std::chrono::floor<std::chrono::milliseconds>(wall).count()) return;
  const Duration age = wall - std::chrono::milliseconds(*milliseconds);
  if (age > kOldest) return;
  const PostgresMemory::TimelineKey key{std::string(words[0]), *timeline};
  if (!memory.primaries.contains(key) && memory.primaries.size() >= kMaxTimelines) return;
  memory.primaries[key].add(now.steady - age, *lsn);
}

}  // namespace

void prune(PostgresMemory& memory, Instant now) {
  const auto old = [now](const LsnHistory& history) { return now - history.seen_at() > kOldest; };
  std::erase_if(memory.primaries, [&](const auto& one) { return old(one.second); });
  std::erase_if(memory.heartbeats, [&](const auto& one) { return old(one.second); });
  std::erase_if(memory.servers,
                [&](const auto& one) { return now - one.second.seen_at > kOldest; });
  for (auto& [server, standbys] : memory.standbys) {
    std::erase_if(standbys, [&](const auto& one) { return now - one.second.seen_at > kOldest; });
  }
  std::erase_if(memory.standbys, [](const auto& one) { return one.second.empty(); });
}

std::string encode(const PostgresMemory& memory, const Moment& now) {
  std::string out(kHeader);
  out += '\n';
  for (const auto& [key, history] : memory.primaries) {
    if (key.first.starts_with('@')) continue;  // a name means nothing to the next process
    for (const LsnHistory::Sample& sample : history.samples()) {
      const auto wall = std::chrono::floor<std::chrono::milliseconds>(now.wall.time_since_epoch() -
                                                                      (now.steady - sample.at));
      out += key.first + " " + std::to_string(key.second) + " " + std::to_string(wall.count()) +
             " " + std::to_string(sample.lsn) + "\n";
    }
  }
  return out;
}

bool decode(std::string_view text, const Moment& now, PostgresMemory& memory) {
  const size_t header = text.find('\n');
  if (header == std::string_view::npos || text.substr(0, header) != kHeader) return false;
  for (size_t begin = header + 1; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    decode_line(text.substr(begin, end - begin), now, memory);
    begin = end + 1;
  }
  return true;
}

}  // namespace lagwatch
