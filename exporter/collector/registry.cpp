// SPDX-License-Identifier: Apache-2.0
#include "collector/collector.h"

namespace lagwatch {

extern const Collector haproxy;
extern const Collector host;

namespace {
constexpr const Collector* kCollectors[] = {
    &haproxy,
    &host,
};
}  // namespace

std::span<const Collector* const> collectors() { return kCollectors; }

}  // namespace lagwatch
