// SPDX-License-Identifier: Apache-2.0
// Where the source tree is. Defined in one file, so that the others compile to the same wherever
// it is: a compiler cache serves every clone.
#pragma once

namespace lagwatch {

extern const char* const kSourceDirectory;
extern const char* const kTestData;  // tests/data

}  // namespace lagwatch
