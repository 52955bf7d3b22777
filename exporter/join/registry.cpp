// SPDX-License-Identifier: Apache-2.0
#include "join/join.h"

namespace lagwatch {

extern const Join haproxy_views;
extern const Join postgres;

namespace {
constexpr const Join* kJoins[] = {
    &haproxy_views,
    &postgres,
};
}  // namespace

std::span<const Join* const> joins() { return kJoins; }

std::vector<std::vector<Table>> run_joins(Targets targets, const Moment& now, JoinMemory& memory) {
  Joined out(targets);
  for (const Join* join : joins()) join->run(targets, now, memory, out);
  return out.take();
}

}  // namespace lagwatch
