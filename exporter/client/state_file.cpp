// SPDX-License-Identifier: Apache-2.0
#include "client/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "client/detached.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 64U << 20U;

// 0 or an errno value.
int replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (!fd) return errno;
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return errno != 0 ? errno : EIO;
    done += static_cast<size_t>(wrote);
  }
  if (fdatasync(fd.get()) != 0) return errno;
  return rename(fresh.c_str(), path.c_str()) == 0 ? 0 : errno;
}

}  // namespace

struct StateFile::Writer {
  std::mutex mutex;
  std::condition_variable idle;
  bool busy = false;
  int said_error = 0;  // of the last try: logged when it changes
};

StateFile::StateFile(std::string path)
    : path_(std::move(path)), writer_(std::make_shared<Writer>()) {}

std::string StateFile::load() const { return read_regular_file(path_, kMaxBytes).text; }

void StateFile::save(std::string text) {
  {
    const std::lock_guard lock(writer_->mutex);
    if (writer_->busy) return;
    writer_->busy = true;
  }
  const bool started =
      start_detached("state", [writer = writer_, path = path_, text = std::move(text)] {
        const int error = replace_file(path, text);
        const std::lock_guard lock(writer->mutex);
        if (error != std::exchange(writer->said_error, error) && error != 0) {
          log(LogLevel::kWarn, "state is not kept",
              {{"path", path},
               {"err", error_text(error)},
               {"fix", "install -d -o lagwatch the directory, or name another by --storage.path"}});
        }
        writer->busy = false;
        writer->idle.notify_all();
      });
  if (started) return;
  const std::lock_guard lock(writer_->mutex);
  writer_->busy = false;
}

void StateFile::save_and_wait(std::string text, Deadline deadline) {
  std::unique_lock lock(writer_->mutex);
  const auto is_idle = [this] { return !writer_->busy; };
  if (!writer_->idle.wait_until(lock, deadline, is_idle)) return;
  lock.unlock();
  save(std::move(text));
  lock.lock();
  writer_->idle.wait_until(lock, deadline, is_idle);
}

}  // namespace lagwatch
