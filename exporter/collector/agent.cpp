// SPDX-License-Identifier: Apache-2.0
// Another lagwatch, from its /metrics: one agent, or a pair, that sees a whole site. Its labels are
// kept and `agent` is added; only families that this lagwatch has pass; nothing that it received
// from a third one is passed on, so that no chain or circle of agents doubles a series.
#include "collector/agent.h"

#include <cmath>
#include <functional>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "collector/agent_text.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 64U << 20U;

constexpr Column kColumns[] = {
    {.name = "lagwatch_agent_series",
     .source = "/metrics",
     .help = "Series taken over from the other agent."},
    {.name = "lagwatch_agent_samples_rejected_total",
     .type = Type::kCounter,
     .source = "/metrics",
     .help = "Lines of the other agent's that are no samples, and samples that cannot be right: a "
             "series twice, a counter below 0."},
};
constexpr Schema kSchema{{}, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};

struct AgentState : State {
  AgentOptions options;
  size_t series = 0;  // of the last answer
  uint64_t rejected = 0;
};

AgentState& mine(State& state) { return static_cast<AgentState&>(state); }

std::string host_of(std::string_view url) {
  std::string_view host = url.substr(std::min(url.find("://") + 3, url.size()));
  host = host.substr(0, host.find('/'));
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.find(':')));
}

// Where a sample belongs: its family, and what its name has beyond the family's.
struct Place {
  std::string_view family;
  std::string_view suffix;
  Type type = Type::kGauge;
};

std::optional<Place> place_of(const RemoteSample& sample, const AgentFamilies& families) {
  const auto exact = families.find(sample.name);
  if (exact != families.end()) {
    if (exact->second == Type::kHistogram) return std::nullopt;
    return Place{sample.name, {}, exact->second};
  }
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (!sample.name.ends_with(suffix)) continue;
    const std::string_view name = sample.name.substr(0, sample.name.size() - suffix.size());
    const auto family = families.find(name);
    if (family == families.end() || family->second != Type::kHistogram) return std::nullopt;
    return Place{name, sample.name.substr(name.size()), Type::kHistogram};
  }
  return std::nullopt;
}

// A sample with such a value or such labels would spoil the exposition it is put into.
bool is_sound(const Place& place, const RemoteSample& sample) {
  const bool counts =
      place.type == Type::kCounter || (place.type == Type::kHistogram && place.suffix != "_sum");
  if (counts && !(sample.value >= 0)) return false;
  return place.suffix != "_bucket" || parse_number<double>(sample.label("le")).has_value() ||
         sample.label("le") == "+Inf";
}

// Without it a sum over labels would be the same when two of them exchange their values
// (splitmix64).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

// What one answer gives, sample by sample.
class Intake {
 public:
  Intake(const AgentState& agent, const Moment& now, Output& out)
      : options_(agent.options),
        facts_({host_of(agent.options.url), agent.options.own_labels, now.steady}),
        out_(out) {
    seen_.reserve(agent.series);
  }

  void take(const RemoteSample& sample) {
    if (sample.name.starts_with("lagwatch_")) lagwatch_ = true;
    // Every sample about a target names it; one with `agent` comes from a third agent.
    if (sample.label("target").empty() || !sample.label("agent").empty()) return;
    const auto place = place_of(sample, *options_.families);
    if (!place) return;
    if (!is_sound(*place, sample) || !seen_.insert(identity(sample)).second) {
      ++rejected_;
    } else if (series_ == options_.max_series) {
      ++out_.series_dropped;
    } else {
      keep(*place, sample);
    }
  }

  void finish() {
    for (ForeignFamily& family : out_.foreign) family.samples.shrink_to_fit();
    out_.remote = facts_.take();
  }

  bool is_lagwatch() const { return lagwatch_; }
  size_t series() const { return series_; }
  uint64_t rejected() const { return rejected_; }

 private:
  void keep(const Place& place, const RemoteSample& sample) {
    ++series_;
    const auto [known, fresh] = families_.try_emplace(place.family, out_.foreign.size());
    if (fresh) out_.foreign.push_back({std::string(place.family), {}});
    out_.foreign[known->second].samples.push_back(
        {std::string(place.suffix), render_labels(sample, options_.own_labels), sample.value});
    facts_.add(sample);
  }

  // The same for the same series, in whatever order its labels stand, our own included.
  size_t identity(const RemoteSample& sample) const {
    const std::hash<std::string_view> hash;
    size_t sum = hash(sample.name);
    const auto add = [&](std::string_view name, std::string_view value) {
      sum += mixed(hash(name) + mixed(hash(value)));
    };
    for (const auto& [name, value] : sample.labels) add(name, value);
    for (const auto& [name, value] : options_.own_labels) {
      if (sample.label(name).empty()) add(name, value);
    }
    return sum;
  }

  const AgentOptions& options_;
  RemoteFacts facts_;
  Output& out_;
  std::unordered_map<std::string_view, size_t> families_;  // places in out_.foreign
  std::unordered_set<size_t> seen_;
  size_t series_ = 0;
  uint64_t rejected_ = 0;
  bool lagwatch_ = false;
};

Asks begin(State& state) {
  const AgentOptions& options = mine(state).options;
  Asks asks;
  asks.emplace_back(HttpAsk{.url = options.url,
                            .user = options.user,
                            .password_file = options.password_file,
                            .ca_file = options.ca_file,
                            .max_bytes = kMaxBytes});
  return asks;
}

Step read(State& state, std::span<Reply> replies, const Moment& now, Output& out) {
  AgentState& agent = mine(state);
  if (!replies[0].ok()) return replies[0].error();
  AgentText text(replies[0]->body);
  Intake intake(agent, now, out);
  for (RemoteSample sample; text.next(sample);) intake.take(sample);
  if (!intake.is_lagwatch()) {
    return Error{Reason::kProtocol, agent.options.url + ": no metric of lagwatch in the answer",
                 "name the /metrics of a lagwatch"};
  }
  intake.finish();
  agent.series = intake.series();
  agent.rejected += text.rejected() + intake.rejected();
  Table& own = out.table(kSchema);
  own.add_row();
  own.set(0, 0, static_cast<double>(intake.series()));
  own.set(0, 1, static_cast<double>(agent.rejected));
  return Done{};
}

}  // namespace

std::unique_ptr<State> make_agent_state(AgentOptions options) {
  auto state = std::make_unique<AgentState>();
  state->options = std::move(options);
  return state;
}

const Kind kAgentKind{"agents", "", nullptr, Refresh::kNever};

extern const Collector agent{"agent", &kAgentKind, Lane::kMain, kSchemas, begin, read};

}  // namespace lagwatch
