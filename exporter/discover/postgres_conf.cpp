// SPDX-License-Identifier: Apache-2.0
#include "discover/postgres_conf.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "discover/access.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxBytes = 4U << 20U;  // of all files together
constexpr size_t kMaxFiles = 256;
constexpr int kMaxDepth = 10;  // PostgreSQL's own limit
constexpr size_t kMaxValueBytes = 4096;
constexpr size_t kMaxListed = 64;
constexpr size_t kMaxUnreadable = 8;

constexpr std::string_view kBlank = " \t\r\f\v";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// PostgreSQL takes every byte beyond ASCII for a letter.
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Reads one line from left to right. One object a line.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  std::optional<PostgresAssignment> read() {
    skip_blanks();
    const std::string_view name = take_while([](char c) { return is_name(c); });
    if (name.empty() || !is_letter(name[0])) return std::nullopt;
    skip_blanks();
    if (rest_.starts_with('=')) rest_.remove_prefix(1);
    skip_blanks();
    auto value = rest_.starts_with('\'') ? quoted() : plain();
    skip_blanks();
    const bool at_end = rest_.empty() || rest_[0] == '#';
    if (!value || !at_end || value->size() > kMaxValueBytes) return std::nullopt;
    return PostgresAssignment{lower(name), std::move(*value)};
  }

 private:
  static bool is_name(char c) { return is_letter(c) || is_digit(c) || c == '.'; }

  template <typename Predicate>
  std::string_view take_while(Predicate wanted) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), wanted);
    const auto taken = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlank), rest_.size()));
  }

  // A word or a number.
  std::optional<std::string> plain() {
    const std::string_view word = take_while([](char c) {
      return is_letter(c) || is_digit(c) || std::string_view("-+._:/").find(c) != std::string::npos;
    });
    if (word.empty() || word[0] == '/' || word[0] == ':') return std::nullopt;
    return std::string(word);
  }

  // Between quotes '' is a quote, and a backslash escapes as in C.
  std::optional<std::string> quoted() {
    std::string value;
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char c = rest_[0];
      if (c == '\'' && !rest_.starts_with("''")) {
        rest_.remove_prefix(1);
        return value;
      }
      if (c == '\\') {
        if (rest_.size() < 2) return std::nullopt;
        value += escaped();
        continue;
      }
      value += c;
      rest_.remove_prefix(c == '\'' ? 2 : 1);
    }
    return std::nullopt;
  }

  char escaped() {
    constexpr std::string_view kLetters = "bfnrt";
    constexpr std::string_view kMeaning = "\b\f\n\r\t";
    rest_.remove_prefix(1);
    unsigned code = 0;
    size_t digits = 0;
    while (digits < 3 && digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '7')
      code = code * 8 + static_cast<unsigned>(rest_[digits++] - '0');
    if (digits > 0) {
      rest_.remove_prefix(digits);
      return static_cast<char>(static_cast<unsigned char>(code));
    }
    const char c = rest_[0];
    rest_.remove_prefix(1);
    const size_t letter = kLetters.find(c);
    return letter == std::string_view::npos ? c : kMeaning[letter];
  }

  std::string_view rest_;
};

// Follows a file and its includes. One object a configuration.
class ConfReader {
 public:
  explicit ConfReader(const std::string& root) : root_(root) {}

  // `optional`: that it does not exist is no fault.
  void read(const std::string& path, int depth, bool optional = false) {
    if (depth > kMaxDepth || files_++ == kMaxFiles) return;
    const FileText file = read_regular_file(root_ + path, left_);
    if (file.error != 0) {
      if (!optional || file.error != ENOENT) cannot_read(path, file.error);
      return;
    }
    left_ -= file.text.size();
    std::string_view rest = file.text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (auto found = parse_postgres_line(rest.substr(0, end))) assign(*found, path, depth);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  PostgresConf take() { return std::move(conf_); }

 private:
  void assign(PostgresAssignment& found, const std::string& path, int depth) {
    if (found.name == "include") return read(beside(path, found.value), depth + 1);
    if (found.name == "include_if_exists")
      return read(beside(path, found.value), depth + 1, /*optional=*/true);
    if (found.name == "include_dir") return read_directory(beside(path, found.value), depth);
    conf_.settings[std::move(found.name)] = std::move(found.value);
  }

  void read_directory(const std::string& path, int depth) {
    const auto names = list_directory(root_ + path);
    if (!names) return cannot_read(path, errno);
    for (const std::string& name : *names) {
      if (!name.starts_with('.') && name.ends_with(".conf")) read(path + "/" + name, depth + 1);
    }
  }

  static std::string beside(const std::string& path, const std::string& name) {
    return name.starts_with('/') ? name : path.substr(0, path.rfind('/') + 1) + name;
  }

  void cannot_read(const std::string& path, int error) {
    if (conf_.unreadable.size() < kMaxUnreadable) conf_.unreadable.push_back({path, error});
  }

  const std::string& root_;
  size_t left_ = kMaxBytes;
  size_t files_ = 0;
  PostgresConf conf_;
};

}  // namespace

std::optional<PostgresAssignment> parse_postgres_line(std::string_view line) {
  return LineReader(line).read();
}

PostgresConf read_postgres_conf(const std::string& root, const std::string& path) {
  ConfReader reader(root);
  reader.read(path, 1);
  return reader.take();
}

std::vector<std::string> split_postgres_list(std::string_view list) {
  std::vector<std::string> out;
  std::string element;
  bool quoted = false;
  const auto end_element = [&] {
    if (const auto text = trim(element); !text.empty() && out.size() < kMaxListed)
      out.emplace_back(text);
    element.clear();
  };
  for (const char c : list) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      end_element();
    } else {
      element += c;
    }
  }
  end_element();
  return out;
}

}  // namespace lagwatch
