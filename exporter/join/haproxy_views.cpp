// SPDX-License-Identifier: Apache-2.0
// Do several load balancers see a backend alike? Servers that all balancers lost are dead, or fail
// their check together; servers that one of them lost are fine, and that balancer's network is not.
// Source: the facts HaproxyBackend of HAProxy targets, those of other agents included. Backends are
// matched by name.
#include <map>
#include <string_view>

#include "join/join.h"

namespace lagwatch {
namespace {

constexpr std::string_view kLabels[] = {"proxy"};
constexpr Column kColumns[] = {
    {.name = "haproxy_backend_views",
     .source = "join over HAProxy targets",
     .help = "HAProxy targets, those of other agents included, that have a backend of this name; "
             "absent where it is only one."},
    {.name = "haproxy_backend_views_down",
     .source = "join over HAProxy targets",
     .help =
         "How many of haproxy_backend_views say that the backend, or every server of it, is DOWN."},
};
constexpr Schema kSchema{kLabels, kColumns};
constexpr const Schema* kSchemas[] = {&kSchema};

struct Views {
  size_t all = 0;
  size_t down = 0;
};

bool is_down(const HaproxyBackend& backend) {
  return !backend.up || (backend.servers_down > 0 && backend.servers_up == 0);
}

void run(Targets targets, const Moment&, JoinMemory&, Joined& out) {
  std::map<std::string_view, Views> by_proxy;
  each_fact<HaproxyBackend>(targets, [&](const FactSource&, const HaproxyBackend& backend) {
    Views& views = by_proxy[backend.proxy];
    ++views.all;
    if (is_down(backend)) ++views.down;
  });
  // Facts of one source stand behind each other, and so do its rows.
  Table* table = nullptr;
  FactSource whose{};
  each_fact<HaproxyBackend>(targets, [&](const FactSource& source, const HaproxyBackend& backend) {
    const Views& views = by_proxy[backend.proxy];
    if (views.all < 2) return;
    if (table == nullptr || source != whose) table = &out.table(source, kSchema);
    whose = source;
    const std::string_view labels[] = {backend.proxy};
    const size_t row = table->add_row(labels);
    table->set(row, 0, static_cast<double>(views.all));
    table->set(row, 1, static_cast<double>(views.down));
  });
}

}  // namespace

extern const Join haproxy_views{"haproxy_views", kSchemas, run};

}  // namespace lagwatch
