// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger.h"

#include <utility>

namespace lagwatch {
namespace {

constexpr Column kUpColumns[] = {
    {.name = "passenger_up", .help = "1 if an instance of Passenger answered, 0 if none did."},
};
constexpr Schema kUpSchema{{}, kUpColumns};

}  // namespace

const Kind kPassengerKind{"passenger", "passenger_up", &kUpSchema};

std::unique_ptr<State> make_passenger_state(PassengerOptions options) {
  return std::make_unique<PassengerState>(std::move(options));
}

}  // namespace lagwatch
