// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_memory.h"

#include <algorithm>
#include <utility>

namespace lagwatch {
namespace {

constexpr Duration kForgetAfter = std::chrono::hours(1);
constexpr size_t kMaxProcesses = 8192;
constexpr size_t kMaxGroups = 256;
constexpr size_t kMaxCores = 64;
constexpr size_t kMaxHosts = 512;
constexpr size_t kMaxHostBytes = 255;

// Makes room in a map whose values know when they were `seen`.
template <typename Map>
void make_room(Map& map, size_t most) {
  if (map.size() < most) return;
  map.erase(std::min_element(map.begin(), map.end(), [](const auto& a, const auto& b) {
    return a.second.seen < b.second.seen;
  }));
}

// What a counter grew by that begins at 0 when its owner is started.
double growth(double before, double after) { return after >= before ? after - before : after; }

}  // namespace

void RequestCounters::observe(const std::string& gupid, const std::string& group, double processed,
                              Instant now) {
  if (!totals_.contains(group)) make_room(totals_, kMaxGroups);
  if (!processes_.contains(gupid)) make_room(processes_, kMaxProcesses);
  Process& process = processes_[gupid];
  Total& total = totals_[group];
  total.requests += growth(process.processed, processed);
  process = {processed, now};
  total.seen = now;
}

void RequestCounters::expire(Instant now) {
  const auto old = [&](const auto& entry) { return now - entry.second.seen > kForgetAfter; };
  std::erase_if(processes_, old);
  std::erase_if(totals_, old);
}

void ProcessSlots::assign(const std::set<std::pair<std::string, std::string>>& living) {
  for (auto& [group, slots] : slots_) {
    std::erase_if(slots, [&, &name = group](const auto& entry) {
      return !living.contains({name, entry.first});
    });
  }
  std::erase_if(slots_, [](const auto& entry) { return entry.second.empty(); });
  for (const auto& [group, gupid] : living) {
    auto& slots = slots_[group];
    if (slots.contains(gupid)) continue;
    std::set<size_t> taken;
    for (const auto& entry : slots) taken.insert(entry.second);
    size_t free = 0;
    while (taken.contains(free)) ++free;
    slots.emplace(gupid, free);
  }
}

size_t ProcessSlots::slot(const std::string& group, const std::string& gupid) const {
  return slots_.at(group).at(gupid);
}

void CoreRestarts::observe(const std::string& instance, int64_t core_pid, Instant now) {
  if (core_pid == 0) return;
  if (!cores_.contains(instance)) make_room(cores_, kMaxCores);
  Core& core = cores_[instance];
  if (core.pid != 0 && core.pid != core_pid) ++count_;
  core = {core_pid, now};
}

void BegunCounter::observe(const std::string& core, double begun, Instant now) {
  if (!cores_.contains(core)) make_room(cores_, kMaxCores);
  Core& known = cores_[core];
  total_ += growth(known.begun, begun);
  known = {begun, now};
}

void HostGroups::learn(std::string_view host, std::string_view group, Instant now) {
  if (host.empty() || host.size() > kMaxHostBytes || group.empty()) return;
  auto found = hosts_.find(host);
  if (found == hosts_.end()) {
    make_room(hosts_, kMaxHosts);
    found = hosts_.emplace(host, Known{std::string(group)}).first;
  }
  found->second.several = found->second.several || found->second.group != group;
  found->second.seen = now;
}

std::optional<std::string> HostGroups::find(std::string_view host) const {
  const auto found = hosts_.find(host);
  if (found == hosts_.end() || found->second.several) return std::nullopt;
  return found->second.group;
}

void HostGroups::keep(std::span<const std::string> groups) {
  std::erase_if(hosts_, [&](const auto& entry) {
    return std::find(groups.begin(), groups.end(), entry.second.group) == groups.end();
  });
}

}  // namespace lagwatch
