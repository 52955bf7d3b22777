// SPDX-License-Identifier: Apache-2.0
#include "plain_reader.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "cpu.h"

namespace lagwatch {

void bench_reader(const std::string& path, size_t count, std::chrono::milliseconds pause) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) die(path + " is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  std::vector<char> buffer(64U << 10U);
  std::vector<double> cpu_ms;
  for (size_t i = 0; i < count; ++i) {
    std::this_thread::sleep_for(pause);
    const double begin = thread_cpu_ms();
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    constexpr std::string_view kQuestion = "show info;show stat\n";
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        send(fd.get(), kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL) < 0) {
      die(path + ": " + std::strerror(errno));
    }
    while (recv(fd.get(), buffer.data(), buffer.size(), 0) > 0) {
    }
    cpu_ms.push_back(thread_cpu_ms() - begin);
  }
  std::sort(cpu_ms.begin(), cpu_ms.end());
  std::printf("{\"name\": \"reader\", \"best_ms\": %.4f, \"median_ms\": %.4f, \"rounds\": %zu}\n",
              cpu_ms.front(), cpu_ms[count / 2], count);
}

}  // namespace lagwatch
