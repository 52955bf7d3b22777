// SPDX-License-Identifier: Apache-2.0
#include "discover/postgres_processes.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "base/file.h"
#include "base/text.h"
#include "discover/procfs.h"

namespace lagwatch {
namespace {

// Busy hosts have a line for each connection.
constexpr size_t kMaxSocketTable = 16U << 20U;
constexpr size_t kMaxPostmasters = 64;
constexpr std::string_view kSocketName = "/.s.PGSQL.";

bool is_named(const std::string& name) { return name == "postgres" || name == "postmaster"; }

// "/usr/lib/postgresql/15/bin/postgres", "/usr/pgsql-9.6/bin/postmaster", "/usr/lib/postgresql15".
std::string version_of(std::string_view executable) {
  std::string_view before;
  while (!executable.empty()) {
    const size_t end = std::min(executable.find('/'), executable.size());
    std::string_view part = executable.substr(0, end);
    executable.remove_prefix(std::min(end + 1, executable.size()));
    if (before == "postgresql" && is_postgres_version(part)) return std::string(part);
    before = part;
    for (const std::string_view prefix : {"pgsql-", "postgresql-", "postgresql"}) {
      if (part.starts_with(prefix) && is_postgres_version(part.substr(prefix.size())))
        return std::string(part.substr(prefix.size()));
    }
  }
  return {};
}

// Reads a server's command line as its main() does. One object a process.
class CommandLine {
 public:
  explicit CommandLine(const std::vector<std::string>& arguments) : arguments_(arguments) {}

  // False: it is no server (--single, --version), or no command line of PostgreSQL's.
  bool read(Postmaster& to) {
    for (size_t i = 1; i < arguments_.size(); ++i) {
      const std::string& word = arguments_[i];
      if (word.size() < 2 || word[0] != '-') return false;
      if (word.starts_with("--")) {
        if (!assign(std::string_view(word).substr(2), to)) return false;
      } else if (!read_letters(word, i, to)) {
        return false;
      }
    }
    return true;
  }

 private:
  // NAME=VALUE, where NAME may have dashes. Without a value it is no setting: --single, --boot.
  static bool assign(std::string_view text, Postmaster& to) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return false;
    std::string name(text.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    if (auto found = parse_postgres_line(name + " = x")) {
      to.settings[found->name] = text.substr(equals + 1);
    }
    return true;
  }

  // Letters as getopt(3) takes them: "-ip5433", "-D", "DIR".
  bool read_letters(std::string_view word, size_t& i, Postmaster& to) {
    constexpr std::string_view kWithValue = "ABcCdDfhkNoprStvWx";
    for (size_t at = 1; at < word.size(); ++at) {
      const char letter = word[at];
      if (kWithValue.find(letter) == std::string_view::npos) {
        if (letter == 'V' || letter == '?') return false;
        if (letter == 'i') to.settings["listen_addresses"] = "*";
        continue;
      }
      std::string_view value = word.substr(at + 1);
      if (value.empty()) {
        if (++i == arguments_.size()) return false;
        value = arguments_[i];
      }
      return use(letter, value, to);
    }
    return true;
  }

  static bool use(char letter, std::string_view value, Postmaster& to) {
    if (letter == 'C') return false;  // prints a setting and ends
    if (letter == 'c') return assign(value, to);
    if (letter == 'D') to.data_directory = value;
    if (letter == 'p') to.settings["port"] = value;
    if (letter == 'h') to.settings["listen_addresses"] = value;
    // One directory before 9.3, a list since; a single one reads alike.
    if (letter == 'k') to.settings["unix_socket_directories"] = value;
    return true;
  }

  const std::vector<std::string>& arguments_;
};

std::optional<Postmaster> read_postmaster(const std::string& proc, int pid) {
  const auto arguments = process_arguments(proc, pid);
  // Backends write what they do over their command line.
  if (arguments.empty() || arguments[0].starts_with("postgres:")) return std::nullopt;
  Postmaster found{.pid = pid};
  if (!CommandLine(arguments).read(found)) return std::nullopt;
  const std::string directory = proc + "/" + std::to_string(pid);
  found.version = version_of(arguments[0]);
  if (found.version.empty()) found.version = version_of(read_link(directory + "/exe"));
  // -D may be where the configuration is; a server's working directory is that of its data.
  const std::string given = std::move(found.data_directory);
  found.data_directory = read_link(directory + "/cwd");
  const auto setting = [&](std::string_view name) {
    const auto at = found.settings.find(name);
    return at != found.settings.end() && at->second.starts_with('/') ? at->second : std::string();
  };
  if (found.data_directory.empty()) found.data_directory = setting("data_directory");
  if (found.data_directory.empty() && given.starts_with('/')) found.data_directory = given;
  found.config_path = setting("config_file");
  if (found.config_path.empty()) {
    const std::string& directory_of_it = given.starts_with('/') ? given : found.data_directory;
    if (!directory_of_it.empty()) found.config_path = directory_of_it + "/postgresql.conf";
  }
  return found;
}

template <typename Use>
void each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// "0100007F:1538"
bool has_port(std::string_view address, unsigned port) {
  const std::string_view hex = address.substr(address.rfind(':') + 1);
  unsigned value = 0;
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  return error == std::errc() && end == hex.data() + hex.size() && value == port;
}

}  // namespace

PostgresProcesses find_postmasters(const std::string& proc) {
  PostgresProcesses found;
  std::set<int> named;
  for (const int pid : list_pids(proc, found.cut)) {
    if (is_named(process_name(proc, pid))) named.insert(pid);
  }
  for (const int pid : named) {
    auto postmaster = read_postmaster(proc, pid);
    if (!postmaster) continue;
    const ProcessStatus status = process_status(proc, pid);
    // A child that was forked just now still has its parent's command line.
    if (named.contains(status.parent)) continue;
    if (found.postmasters.size() == kMaxPostmasters) {
      found.cut = true;
      break;
    }
    postmaster->container = status.container;
    found.postmasters.push_back(std::move(*postmaster));
  }
  return found;
}

bool is_postgres_version(std::string_view text) {
  const bool plain = text.find_first_not_of("0123456789.") == std::string_view::npos;
  return plain && !text.empty() && text.size() <= 10 && text[0] != '.' && text.back() != '.';
}

std::optional<std::set<std::string>> listening_postgres_sockets(const std::string& proc) {
  constexpr uint64_t kAccepts = 0x10000;  // __SO_ACCEPTCON
  const FileText table = read_regular_file(proc + "/net/unix", kMaxSocketTable);
  if (table.error != 0) return std::nullopt;
  std::set<std::string> paths;
  // Num RefCount Protocol Flags Type St Inode Path
  each_line(table.text, [&](std::string_view line) {
    const size_t start = line.find_first_of("/@");
    if (start == std::string_view::npos || !port_of_socket(line.substr(start))) return;
    const auto words = split_words(line.substr(0, start));
    if (words.size() != 7) return;
    uint64_t flags = 0;
    std::from_chars(words[3].data(), words[3].data() + words[3].size(), flags, 16);
    if ((flags & kAccepts) != 0) paths.emplace(line.substr(start));
  });
  return paths;
}

std::optional<bool> tcp_port_listens(const std::string& proc, unsigned port) {
  std::optional<bool> listens;
  for (const char* name : {"/net/tcp", "/net/tcp6"}) {
    const FileText table = read_regular_file(proc + name, kMaxSocketTable);
    if (table.error != 0) continue;
    bool found = false;
    // sl local_address rem_address st
    each_line(table.text, [&](std::string_view line) {
      const auto words = split_words(line.substr(0, std::min<size_t>(line.size(), 200)));
      found = found || (words.size() > 3 && words[3] == "0A" && has_port(words[1], port));
    });
    listens = listens.value_or(false) || found;
  }
  return listens;
}

std::optional<unsigned> port_of_socket(std::string_view path) {
  const size_t slash = path.rfind(kSocketName);
  if (slash == std::string_view::npos) return std::nullopt;
  const auto port = parse_number<unsigned>(path.substr(slash + kSocketName.size()));
  return port && *port > 0 && *port <= 65535 ? port : std::nullopt;
}

}  // namespace lagwatch
