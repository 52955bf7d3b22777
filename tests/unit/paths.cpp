// SPDX-License-Identifier: Apache-2.0
#include "paths.h"

namespace lagwatch {

constinit const char* const kSourceDirectory = LAGWATCH_SOURCE_DIR;
constinit const char* const kTestData = LAGWATCH_SOURCE_DIR "/tests/data";

}  // namespace lagwatch
