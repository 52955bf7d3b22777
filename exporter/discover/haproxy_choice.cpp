// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_choice.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <optional>
#include <set>
#include <tuple>

#include "base/account.h"

namespace lagwatch {
namespace {

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool enterable(const HaproxyAsker& asker, const std::string& directory) {
  struct stat info = {};
  const std::string path = asker.root + directory;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0;
}

// The line that makes a socket for us beside `neighbour`, which may be empty. `process` 0: there is
// only one.
std::string socket_line(const HaproxyAsker& asker, const std::string& neighbour, unsigned process) {
  std::string directory = "/run/haproxy";
  if (!enterable(asker, directory))
    directory = neighbour.empty() ? "/run" : directory_of(neighbour);
  if (!enterable(asker, directory)) directory = "/run";
  const std::string number = process == 0 ? "" : "-" + std::to_string(process);
  std::string line = "stats socket " + directory + "/" + asker.socket_name + number +
                     ".sock mode 660 " + asker.group_words + " level user";
  if (process != 0) line += " process " + std::to_string(process);
  return line;
}

// `own`: the line's socket is configured already, with other rights.
std::string add_line(const std::string& line, const std::string& config_path, bool own = false) {
  if (own) return "change its line in " + config_path + " to \"" + line + "\" and reload HAProxy";
  return "add to the global section of " + config_path + " the line \"" + line +
         "\" and reload HAProxy";
}

// Chooses for one HAProxy. One object a choice.
class Chooser {
 public:
  Chooser(const HaproxyConfig& config, const std::string& config_path, const HaproxyAsker& asker)
      : config_(config), config_path_(config_path), asker_(asker) {
    for (const HaproxyStatsSocket& socket : config.sockets) {
      states_.push_back(socket.path.empty() ? SocketState::kUsable
                                            : socket_state(asker.root, socket.path));
      if (neighbour_.empty()) neighbour_ = socket.path;
    }
  }

  HaproxyChoice choose() {
    if (config_.nbproc > 1 && choose_each_process()) return finish();
    const HaproxyStatsSocket* const socket = best([](const HaproxyStatsSocket&) { return true; });
    if (socket != nullptr) {
      choice_.sockets = {address(*socket)};
      note_level(*socket);
      note_better(*socket);
      if (config_.nbproc > 1) note_processes(socket);
    } else if (!choose_page()) {
      explain();
    }
    return finish();
  }

 private:
  static std::string address(const HaproxyStatsSocket& socket) {
    return socket.path.empty() ? socket.tcp : socket.path;
  }

  // Unix before TCP, loopback before other addresses, one process before any, few rights before
  // many.
  auto rank(const HaproxyStatsSocket& socket) const {
    return std::tuple(socket.path.empty(), socket.path.empty() && !socket.loopback,
                      config_.nbproc > 1 && std::popcount(socket.processes) != 1, socket.level);
  }

  template <typename Predicate>
  const HaproxyStatsSocket* best(Predicate wanted) const {
    const HaproxyStatsSocket* found = nullptr;
    for (size_t i = 0; i < states_.size(); ++i) {
      const HaproxyStatsSocket& socket = config_.sockets[i];
      if (states_[i] != SocketState::kUsable || !wanted(socket)) continue;
      if (found == nullptr || rank(socket) < rank(*found)) found = &socket;
    }
    return found;
  }

  bool choose_each_process() {
    std::vector<const HaproxyStatsSocket*> sockets;
    std::set<std::string> addresses;
    for (unsigned i = 0; i < config_.nbproc; ++i) {
      const uint64_t bit = uint64_t{1} << i;
      sockets.push_back(best([&](const HaproxyStatsSocket& s) { return s.processes == bit; }));
      if (sockets.back() == nullptr || !addresses.insert(address(*sockets.back())).second)
        return false;
    }
    for (const HaproxyStatsSocket* socket : sockets) choice_.sockets.push_back(address(*socket));
    const auto highest =
        *std::max_element(sockets.begin(), sockets.end(),
                          [](const auto* a, const auto* b) { return a->level < b->level; });
    if (highest->level != HaproxyLevel::kUser) {
      note(address(*highest) + " is of level " + std::string(level_name(highest->level)) +
           "; sockets of level user are enough:");
      note_lines();
    }
    return true;
  }

  void note(std::string text) { choice_.notes.push_back(std::move(text)); }

  void note_lines() {
    for (unsigned i = 1; i <= config_.nbproc; ++i) note(socket_line(asker_, neighbour_, i));
  }

  void note_processes(const HaproxyStatsSocket* socket) {
    const bool one = socket != nullptr && std::popcount(socket->processes) == 1;
    note("this HAProxy runs nbproc " + std::to_string(config_.nbproc) +
         " processes with counters of their own, and " +
         (one ? "only those of one are seen" : "each time those of any one are seen") +
         "; a socket for each lets them be summed:");
    note_lines();
  }

  void note_level(const HaproxyStatsSocket& socket) {
    if (socket.level == HaproxyLevel::kUser) return;
    std::string text = address(socket) + " is of level " + std::string(level_name(socket.level)) +
                       "; a socket of level user is enough";
    if (config_.nbproc == 1) text += ": " + socket_line(asker_, neighbour_, 0);
    note(std::move(text));
  }

  // Sockets that would have been chosen if they could be used.
  void note_better(const HaproxyStatsSocket& chosen) {
    for (size_t i = 0; i < states_.size(); ++i) {
      const HaproxyStatsSocket& socket = config_.sockets[i];
      if (states_[i] != SocketState::kUsable && rank(socket) < rank(chosen)) note(why_not(i));
    }
  }

  std::string why_not(size_t i) const {
    const HaproxyStatsSocket& socket = config_.sockets[i];
    if (states_[i] == SocketState::kDenied) {
      return denied_socket(asker_, socket.path, level_name(socket.level), config_path_);
    }
    if (states_[i] == SocketState::kNoSocket)
      return socket.path + " (" + socket.place + ") is not a socket";
    return socket.path + " (" + socket.place +
           ") does not exist: has HAProxy been reloaded since it was configured?";
  }

  bool choose_page() {
    const auto rank_page = [](const HaproxyStatsPage& page) {
      return std::tuple(!page.loopback, page.url.starts_with("https:"), page.rules);
    };
    const HaproxyStatsPage* found = nullptr;
    for (const HaproxyStatsPage& page : config_.pages) {
      if (page.password) continue;
      if (found == nullptr || rank_page(page) < rank_page(*found)) found = &page;
    }
    if (found == nullptr) return false;
    choice_.sockets = {found->url};
    note("the statistics page (" + found->place +
         ") says nothing of HAProxy's process; a stats socket does: " +
         add_line(socket_line(asker_, neighbour_, 0), config_path_));
    if (found->rules)
      note(
          "the page has rules (stats http-request or scope): it may refuse, or not show all "
          "proxies");
    if (found->url.starts_with("https:")) {
      note(
          "its certificate may be for another name than is asked here: write that name, and set "
          "ca_file");
    }
    for (size_t i = 0; i < states_.size(); ++i) note(why_not(i));
    if (config_.nbproc > 1) note_processes(nullptr);
    return true;
  }

  void explain() {
    for (size_t i = 0; i < states_.size(); ++i) choice_.problems.push_back(why_not(i));
    const auto page = std::find_if(config_.pages.begin(), config_.pages.end(),
                                   [](const HaproxyStatsPage& p) { return p.password; });
    if (page != config_.pages.end()) {
      std::string url = page->url;
      url.insert(url.find("//") + 2, "USER@");
      choice_.problems.push_back("the statistics page (" + page->place +
                                 ") wants a user and a password: configure it with sockets: \"" +
                                 url + "\" and password_file, a file with the password");
    }
    const bool denied = std::count(states_.begin(), states_.end(), SocketState::kDenied) > 0;
    if (denied) return;  // the line is in that message
    choice_.problems.push_back("HAProxy has no stats socket that lagwatch can use: " +
                               add_line(socket_line(asker_, neighbour_, 0), config_path_));
  }

  HaproxyChoice finish() {
    auto& to = choice_.sockets.empty() ? choice_.problems : choice_.notes;
    to.insert(to.end(), config_.notes.begin(), config_.notes.end());
    return std::move(choice_);
  }

  const HaproxyConfig& config_;
  const std::string& config_path_;
  const HaproxyAsker& asker_;
  std::vector<SocketState> states_;  // of config_.sockets
  std::string neighbour_;            // a Unix socket that is configured
  HaproxyChoice choice_;
};

}  // namespace

std::string denied_socket(const HaproxyAsker& asker, const std::string& path,
                          std::string_view level, const std::string& config_path) {
  std::string text = path + " may not be used by user " + asker.user;
  const auto barrier = find_barrier(asker.root + path, W_OK);
  if (barrier) text += " (" + describe(*barrier) + ")";
  const std::string line = socket_line(asker, path, 0);
  text += ": " + add_line(line, config_path, line.find(" " + path + " ") != std::string::npos);
  // Never suggested for group root, and not where the group may do no more than we.
  const mode_t needed = barrier && barrier->directory ? S_IXGRP : S_IWGRP;
  if (!barrier || barrier->group == 0 || (barrier->mode & needed) == 0) return text;
  return text + "; or run \"usermod -aG " + shell_word(group_name(barrier->group)) + " " +
         shell_word(asker.user) + "\" and restart lagwatch, which then has " +
         (level.empty() ? "the level of that socket" : "level " + std::string(level));
}

HaproxyChoice choose_haproxy_sockets(const HaproxyConfig& config, const std::string& config_path,
                                     const HaproxyAsker& asker) {
  return Chooser(config, config_path, asker).choose();
}

}  // namespace lagwatch
