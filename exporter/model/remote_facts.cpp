// SPDX-License-Identifier: Apache-2.0
#include "model/remote_facts.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "model/table.h"

namespace lagwatch {
namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: whole numbers below are exact in a double
constexpr double kOldest = 1e9;                // seconds, some 30 years
constexpr size_t kMaxIdentifierDigits = 20;

// What one target's samples said so far.
struct Target {
  std::string label_block;
  std::map<std::string, double, std::less<>> ages;  // by collector
  std::map<std::string, HaproxyBackend, std::less<>> backends;
  std::set<std::string, std::less<>> known_backends;  // those whose status was seen
  std::optional<bool> in_recovery;
  PostgresNode node;
  std::optional<bool> streaming;
  PostgresReceiver receiver;
  bool senders_seen = false;
  // application_name, client_addr, state, slot_name
  std::map<std::tuple<std::string, std::string, std::string, std::string>, PostgresSender> senders;
  std::map<std::pair<std::string, std::string>, PostgresSlot> slots;  // name, type
  std::set<std::pair<std::string, std::string>> known_slots;  // those seen to be active or not
  std::optional<double> heartbeat;
  std::optional<bool> archiving;
  PostgresArchiving archive;
  std::optional<Lsn> oldest;
};

// ---- values

std::optional<bool> boolean(double value) {
  if (value != 0 && value != 1) return std::nullopt;
  return value == 1;
}

std::optional<double> number(double value) {
  if (!std::isfinite(value) || value < 0) return std::nullopt;
  return value;
}

std::optional<uint64_t> whole(double value, double below) {
  if (!(value >= 0 && value < below) || value != std::trunc(value)) return std::nullopt;
  return static_cast<uint64_t>(value);
}

std::optional<Lsn> lsn(double value) { return whole(value, kExact); }

std::optional<uint32_t> timeline(double value) {
  const auto read = whole(value, 4294967296.0);
  if (!read || *read == 0) return std::nullopt;
  return static_cast<uint32_t>(*read);
}

// ---- one family each

using Add = void (*)(const RemoteSample& sample, Target& target);

HaproxyBackend& backend(const RemoteSample& sample, Target& target) {
  const std::string_view proxy = sample.label("proxy");
  const auto found = target.backends.find(proxy);
  if (found != target.backends.end()) return found->second;
  return target.backends.emplace(proxy, HaproxyBackend{.proxy = std::string(proxy)}).first->second;
}

void add_backend_status(const RemoteSample& sample, Target& target) {
  HaproxyBackend& into = backend(sample, target);
  if (sample.label("state") == "UP") into.up = sample.value == 1;
  target.known_backends.insert(into.proxy);
}

void add_backend_servers(const RemoteSample& sample, Target& target) {
  const std::string_view state = sample.label("state");
  const auto count = whole(sample.value, kExact);
  if (!count || (state != "UP" && state != "DOWN")) return;
  HaproxyBackend& into = backend(sample, target);
  (state == "UP" ? into.servers_up : into.servers_down) = *count;
}

void add_position(const RemoteSample& sample, Target& target) {
  const std::string_view kind = sample.label("kind");
  if (kind == "current") target.node.current = lsn(sample.value);
  if (kind == "receive") target.node.receive = lsn(sample.value);
  if (kind == "replay") target.node.replay = lsn(sample.value);
}

void add_identifier(const RemoteSample& sample, Target& target) {
  const std::string_view text = sample.label("system_identifier");
  // It is kept in files of words: nothing but what PostgreSQL makes.
  const bool digits = text.find_first_not_of("0123456789") == std::string_view::npos;
  if (sample.value == 1 && digits && text.size() <= kMaxIdentifierDigits)
    target.node.system_identifier = text;
}

void add_port(const RemoteSample& sample, Target& target) {
  const auto port = whole(sample.value, 65536);
  if (port && *port > 0) target.node.port = std::to_string(*port);
}

void add_upstream(const RemoteSample& sample, Target& target) {
  if (sample.value != 1) return;
  target.receiver.upstream_host = sample.label("upstream_host");
  target.receiver.upstream_port = sample.label("upstream_port");
  target.receiver.slot_name = sample.label("slot_name");
}

void add_sender(const RemoteSample& sample, Target& target) {
  const std::string_view labels[] = {sample.label("application_name"), sample.label("client_addr"),
                                     sample.label("state"), sample.label("slot_name")};
  const auto position = lsn(sample.value);
  PostgresSender& sender = target.senders[{std::string(labels[0]), std::string(labels[1]),
                                           std::string(labels[2]), std::string(labels[3])}];
  sender.application_name = labels[0];
  sender.client_addr = labels[1];
  sender.state = labels[2];
  sender.slot_name = labels[3];
  const std::string_view kind = sample.label("kind");
  if (kind == "sent") sender.sent = position;
  if (kind == "write") sender.write = position;
  if (kind == "flush") sender.flush = position;
  if (kind == "replay") sender.replay = position;
}

PostgresSlot& slot(const RemoteSample& sample, Target& target) {
  const std::pair key{std::string(sample.label("slot_name")),
                      std::string(sample.label("slot_type"))};
  PostgresSlot& found = target.slots[key];
  found.name = key.first;
  found.type = key.second;
  return found;
}

void add_slot_active(const RemoteSample& sample, Target& target) {
  const auto active = boolean(sample.value);
  if (!active) return;
  PostgresSlot& into = slot(sample, target);
  into.active = *active;
  target.known_slots.insert({into.name, into.type});
}

void add_slot_status(const RemoteSample& sample, Target& target) {
  if (sample.value == 1 && sample.label("wal_status") == "lost") slot(sample, target).lost = true;
}

void add_slot_invalidated(const RemoteSample& sample, Target& target) {
  if (sample.value == 1) slot(sample, target).lost = true;
}

void add_age(const RemoteSample& sample, Target& target) {
  if (sample.value >= 0 && sample.value < kOldest)
    target.ages.emplace(sample.label("collector"), sample.value);
}

using Families = std::unordered_map<std::string_view, Add>;

// Which family says what: the other side of the comments in model/postgres_facts.h.
const Families& families() {
  static const Families kFamilies = {
      {"lagwatch_target_age_seconds", add_age},
      {"haproxy_backend_status", add_backend_status},
      {"haproxy_backend_agg_server_status", add_backend_servers},
      {"pg_replication_is_replica", [](auto& s, auto& t) { t.in_recovery = boolean(s.value); }},
      {"pg_system_info", add_identifier},
      {"pg_timeline", [](auto& s, auto& t) { t.node.timeline = timeline(s.value); }},
      {"pg_wal_lsn_bytes", add_position},
      {"pg_postmaster_start_time_seconds",
       [](auto& s, auto& t) { t.node.start_time = number(s.value); }},
      {"pg_replication_is_replay_paused",
       [](auto& s, auto& t) { t.node.replay_paused = boolean(s.value); }},
      {"pg_settings_port", add_port},
      {"pg_stat_wal_receiver_up", [](auto& s, auto& t) { t.streaming = boolean(s.value); }},
      {"pg_stat_wal_receiver_info", add_upstream},
      {"pg_stat_wal_receiver_received_tli",
       [](auto& s, auto& t) { t.receiver.timeline = timeline(s.value); }},
      {"pg_stat_wal_receiver_last_msg_age_seconds",
       [](auto& s, auto& t) { t.receiver.last_message_age = number(s.value); }},
      {"pg_settings_wal_receiver_timeout_seconds",
       [](auto& s, auto& t) { t.receiver.timeout = number(s.value); }},
      {"pg_stat_wal_receiver_latest_end_lsn",
       [](auto& s, auto& t) { t.receiver.latest_end = lsn(s.value); }},
      {"pg_stat_replication_standbys", [](auto&, auto& t) { t.senders_seen = true; }},
      {"pg_stat_replication_lsn_bytes", add_sender},
      // Has the same labels, also of a sender that knows no position yet.
      {"pg_stat_replication_pg_current_wal_lsn_bytes", add_sender},
      {"pg_replication_slots_slot_is_active", add_slot_active},
      {"pg_replication_slots_wal_status", add_slot_status},
      {"pg_replication_slots_invalidated", add_slot_invalidated},
      {"pg_replication_slots_restart_lsn",
       [](auto& s, auto& t) { slot(s, t).restart = lsn(s.value); }},
      {"pg_replication_slots_slot_confirmed_flush_lsn",
       [](auto& s, auto& t) { slot(s, t).confirmed_flush = lsn(s.value); }},
      {"pg_heartbeat_timestamp_seconds", [](auto& s, auto& t) { t.heartbeat = number(s.value); }},
      {"pg_archive_configured", [](auto& s, auto& t) { t.archiving = boolean(s.value); }},
      {"pg_stat_archiver_last_archived_timestamp_seconds",
       [](auto& s, auto& t) { t.archive.last_archived = number(s.value); }},
      {"pg_stat_archiver_last_failed_timestamp_seconds",
       [](auto& s, auto& t) { t.archive.last_failed = number(s.value); }},
      {"pg_wal_oldest_lsn_bytes", [](auto& s, auto& t) { t.oldest = lsn(s.value); }},
  };
  return kFamilies;
}

// ---- facts

// When what `collector` said was so.
std::optional<Instant> instant_of(const Target& target, std::string_view collector, Instant at) {
  const auto age = target.ages.find(collector);
  if (age == target.ages.end()) return std::nullopt;
  return at - from_seconds(age->second);
}

// Adds what one collector found, if it is known since when.
template <typename F>
void add_fact(const Target& target, std::string_view collector, Instant at, F fact, Facts& out) {
  const auto since = instant_of(target, collector, at);
  if (!since) return;
  fact.at = *since;
  out.emplace_back(std::move(fact));
}

Facts facts_of(const Target& target, const std::string& host, Instant at) {
  Facts out;
  for (const auto& [proxy, found] : target.backends) {
    if (target.known_backends.contains(proxy)) out.emplace_back(found);
  }
  if (target.in_recovery) {
    PostgresNode node = target.node;
    node.in_recovery = *target.in_recovery;
    node.host = host;
    add_fact(target, "postgres_node", at, std::move(node), out);
  }
  if (target.streaming) {
    PostgresReceiver receiver = target.receiver;
    receiver.streaming = *target.streaming;
    add_fact(target, "postgres_wal_receiver", at, std::move(receiver), out);
  }
  if (target.senders_seen) add_fact(target, "postgres_replication", at, PostgresSenders{}, out);
  for (const auto& [labels, sender] : target.senders)
    add_fact(target, "postgres_replication", at, sender, out);
  for (const auto& [key, found] : target.slots) {
    if (target.known_slots.contains(key)) add_fact(target, "postgres_slots", at, found, out);
  }
  if (target.heartbeat) {
    add_fact(target, "postgres_heartbeat", at, PostgresHeartbeat{.timestamp = *target.heartbeat},
             out);
  }
  if (target.archiving) {
    PostgresArchiving archive = target.archive;
    archive.configured = *target.archiving;
    add_fact(target, "postgres_archiver", at, archive, out);
  }
  if (target.oldest)
    add_fact(target, "postgres_wal", at, PostgresWalKept{.oldest = *target.oldest}, out);
  return out;
}

}  // namespace

std::string_view RemoteSample::label(std::string_view wanted) const {
  const auto found = std::find_if(labels.begin(), labels.end(),
                                  [&](const auto& one) { return one.first == wanted; });
  return found == labels.end() ? std::string_view() : found->second;
}

std::string render_labels(const RemoteSample& sample, const OwnLabels& own,
                          std::string_view without) {
  std::string block;
  for (const auto& [name, value] : sample.labels) {
    if (name != without) append_label(block, name, value);
  }
  for (const auto& [name, value] : own) {
    if (sample.label(name).empty()) append_label(block, name, value);
  }
  return block;
}

struct RemoteFacts::Impl {
  Source source;
  std::map<std::string, Target, std::less<>> targets;

  Target& target(std::string_view name) {
    const auto found = targets.find(name);
    if (found != targets.end()) return found->second;
    Target& fresh = targets.emplace(name, Target{}).first->second;
    const RemoteSample bare{.name = {}, .labels = {{"target", name}}, .value = 0};
    fresh.label_block = render_labels(bare, source.own);
    return fresh;
  }
};

RemoteFacts::RemoteFacts(Source source) : impl_(std::make_unique<Impl>()) {
  impl_->source = std::move(source);
}

RemoteFacts::~RemoteFacts() = default;

void RemoteFacts::add(const RemoteSample& sample) {
  const std::string_view name = sample.label("target");
  if (name.empty()) return;
  if (sample.name == "lagwatch_target_up") {
    // It has a target's constant labels and one of its own.
    impl_->target(name).label_block = render_labels(sample, impl_->source.own, "kind");
    return;
  }
  const auto family = families().find(sample.name);
  if (family != families().end()) family->second(sample, impl_->target(name));
}

std::vector<RemoteTarget> RemoteFacts::take() {
  std::vector<RemoteTarget> out;
  for (const auto& [name, target] : impl_->targets) {
    Facts facts = facts_of(target, impl_->source.host, impl_->source.at);
    if (!facts.empty()) out.push_back({name, target.label_block, std::move(facts)});
  }
  return out;
}

}  // namespace lagwatch
