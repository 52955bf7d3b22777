// SPDX-License-Identifier: Apache-2.0
// For tests that are about permissions, which root does not feel.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

namespace lagwatch {

// Acts as somebody else while it lives.
class AsNobody {
 public:
  AsNobody() : was_root_(geteuid() == 0) {
    if (was_root_ && (setegid(65534) != 0 || seteuid(65534) != 0)) ADD_FAILURE() << "seteuid";
  }
  ~AsNobody() {
    if (was_root_ && (seteuid(0) != 0 || setegid(0) != 0)) ADD_FAILURE() << "seteuid";
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  bool was_root_;
};

}  // namespace lagwatch
