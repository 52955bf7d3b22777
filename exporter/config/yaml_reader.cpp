// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>

#include "base/text.h"

namespace lagwatch {
namespace {

// Ten times what a thousand targets need. Aliases count as what they stand for, so that nine lines
// of
// `&b [*a, *a]` do not become a billion nodes.
constexpr uint64_t kMaxNodes = 100000;
constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxErrors = 1000;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;  // not the inside of one
  }));
}

// Byte `offset` of the text as line and column.
YamlPlace place_of(std::string_view text, uint32_t file, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto breaks = std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {file, static_cast<size_t>(breaks) + 1, characters(before.substr(line_start)) + 1};
}

// Where `text` stops being UTF-8 text, or its size.
size_t text_prefix(std::string_view text) {
  const std::string clean = clean_utf8(text, text.size());
  const auto [bad, same] = std::mismatch(text.begin(), text.end(), clean.begin(), clean.end());
  const auto control = std::find_if(text.begin(), bad, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r' && c != '\n') ||
           c == 0x7F;
  });
  return static_cast<size_t>(control - text.begin());
}

// Whether the scalar at the start of `text` is one in quotes that do not end. yaml-cpp accepts a
// file that ends within one.
bool unclosed_quote(std::string_view text) {
  while (text.starts_with('&') || text.starts_with('!')) {  // an anchor or a tag comes first
    text.remove_prefix(std::min(text.find_first_of(" \t\r\n"), text.size()));
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  }
  if (!text.starts_with('"') && !text.starts_with('\'')) return false;
  const char quote = text.front();
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text[i] == quote && quote == '\'' && text.substr(i + 1).starts_with(quote)) {
      ++i;
    } else if (text[i] == quote) {
      return false;
    }
  }
  return true;
}

// What we refuse and yaml-cpp would take; thrown through its parser.
class Refused final : public YAML::ParserException {
 public:
  using YAML::ParserException::ParserException;
};

// Turns yaml-cpp's events into nodes. Throws YAML::ParserException, as yaml-cpp itself does, for
// what makes the rest meaningless; other mistakes are collected.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, uint32_t file, YamlNodes& nodes, ConfigErrors& errors)
      : text_(text), file_(file), nodes_(nodes), errors_(errors) {
    line_starts_.push_back(0);
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') line_starts_.push_back(i + 1);
    }
  }

  const YamlNode* root() const { return root_; }

  // yaml-cpp counts columns in bytes and from 0.
  YamlPlace place(const YAML::Mark& mark) {
    const size_t line =
        std::min(static_cast<size_t>(std::max(mark.line, 0)), line_starts_.size() - 1);
    const size_t start = line_starts_[line];
    const size_t end =
        std::min(start + static_cast<size_t>(std::max(mark.column, 0)), text_.size());
    // Going on from the last place: a file may be one line of a hundred thousand values.
    if (start > last_offset_ || end < last_offset_) {
      last_offset_ = start;
      last_column_ = 1;
    }
    last_column_ += characters(text_.substr(last_offset_, end - last_offset_));
    last_offset_ = end;
    return {file_, line + 1, last_column_};
  }

  std::string_view line(size_t number) const {
    const std::string_view rest = text_.substr(line_starts_[number - 1]);
    return rest.substr(0, rest.find('\n'));
  }

  // Hands over what was collected; not called after a syntax error, which may have caused it.
  void report() {
    for (auto& [where, message] : found_) errors_.add(where, std::move(message));
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Refused(mark, "text after the end of the settings; one document a file is allowed");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    count(mark, add(mark, anchor, YamlNode::Type::kNull));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    const bool holds_it =
        found != anchors_.end() && std::any_of(open_.begin(), open_.end(), [&](const Frame& frame) {
          return frame.node == found->second;
        });
    if (found == anchors_.end() || holds_it)
      throw Refused(mark, "an alias of something that holds it");
    attach(mark, *found->second);
    count(mark, *found->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    const size_t offset = std::min(static_cast<size_t>(std::max(mark.pos, 0)), text_.size());
    if (unclosed_quote(text_.substr(offset))) throw Refused(mark, "this quote is never closed");
    if (!open_.empty() && wants_key(open_.back())) return set_key(mark, value);
    YamlNode& node = add(mark, anchor, YamlNode::Type::kScalar);
    count(mark, node);
    node.text = value;
    node.quoted = tag == "!";
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Type::kList);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Type::kMapping);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or mapping whose end has not come. `keys`: those seen, and where.
  struct Frame {
    YamlNode* node = nullptr;
    YAML::Mark mark{};  // of its beginning
    bool has_key = false;
    bool duplicate = false;  // the current key: its value is read and dropped
    YamlEntry entry{};
    std::map<std::string, YamlPlace, std::less<>> keys{};
  };

  static bool wants_key(const Frame& frame) {
    return frame.node->type == YamlNode::Type::kMapping && !frame.has_key;
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    found_.emplace_back(place(mark), "tags (a word after !) are not supported");
  }

  YamlNode& add(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Type type) {
    YamlNode& node = nodes_.emplace_back();
    node.type = type;
    node.place = place(mark);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &node;
    attach(mark, node);
    return node;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Type type) {
    check_tag(mark, tag);
    if (open_.size() == kMaxDepth) throw Refused(mark, "nested too deeply");
    open_.push_back({.node = &add(mark, anchor, type), .mark = mark});
  }

  void close() {
    const Frame closed = std::move(open_.back());
    open_.pop_back();
    count(closed.mark, *closed.node);
  }

  void set_key(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = open_.back();
    frame.has_key = true;
    frame.entry = {.place = place(mark), .key = key, .value = nullptr};
    const auto [first, fresh] = frame.keys.emplace(key, frame.entry.place);
    frame.duplicate = !fresh;
    if (!fresh) {
      found_.emplace_back(frame.entry.place, "duplicate key \"" + printable(key, 60) +
                                                 "\", first at " + errors_.show(first->second));
    }
  }

  void attach(const YAML::Mark& mark, const YamlNode& node) {
    if (open_.empty()) {
      root_ = &node;
      return;
    }
    Frame& frame = open_.back();
    if (wants_key(frame)) throw Refused(mark, "a key must be one word");
    if (frame.node->type == YamlNode::Type::kList) {
      frame.node->items.push_back(&node);
      return;
    }
    frame.has_key = false;
    frame.entry.value = &node;
    if (!frame.duplicate) frame.node->entries.push_back(std::move(frame.entry));
  }

  // Called once a child of the innermost open node is whole.
  void count(const YAML::Mark& mark, const YamlNode& child) {
    if (open_.empty()) return;
    uint64_t& weight = open_.back().node->weight;
    weight += child.weight;
    if (weight > kMaxNodes) {
      throw Refused(mark, "more than " + std::to_string(kMaxNodes) + " values, aliases expanded");
    }
  }

  std::string_view text_;
  uint32_t file_;
  YamlNodes& nodes_;
  ConfigErrors& errors_;
  std::vector<size_t> line_starts_;
  size_t last_offset_ = 0;
  size_t last_column_ = 1;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, const YamlNode*> anchors_;
  std::vector<std::pair<YamlPlace, std::string>> found_;
  const YamlNode* root_ = nullptr;
  int documents_ = 0;
};

// yaml-cpp's words, without the piece of the file that some of them quote: it may be a secret.
std::string syntax_message(const YAML::Exception& error, std::string_view line) {
  if (dynamic_cast<const Refused*>(&error) != nullptr) return error.msg;
  const std::string message = "not valid YAML: " + error.msg.substr(0, error.msg.find(": "));
  const std::string_view indent = line.substr(0, line.find_first_not_of(" \t"));
  if (indent.find('\t') == std::string_view::npos) return message;
  return message + " (a tab indents this line; only spaces may)";
}

}  // namespace

uint32_t ConfigErrors::add_file(std::string name) {
  files_.push_back(std::move(name));
  return static_cast<uint32_t>(files_.size() - 1);
}

void ConfigErrors::add(const YamlPlace& place, std::string message) {
  // The same mistake is found again through each alias of it.
  if (known_.emplace(place, message).second) errors_.emplace_back(place, std::move(message));
}

std::string ConfigErrors::show(const YamlPlace& place) const {
  return files_.at(place.file) + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

std::vector<std::string> ConfigErrors::lines() const {
  auto sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> lines;
  for (const auto& [place, message] : sorted) {
    if (lines.size() == kMaxErrors) {
      lines.push_back(show(place) + ": and " + std::to_string(sorted.size() - kMaxErrors) +
                      " more errors");
      break;
    }
    lines.push_back(show(place) + ": " + message);
  }
  return lines;
}

const YamlEntry* YamlNode::find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const YamlEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

const YamlNode* parse_yaml(std::string_view text, uint32_t file, YamlNodes& nodes,
                           ConfigErrors& errors) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (const size_t end = text_prefix(text); end < text.size()) {
    const bool control = static_cast<unsigned char>(text[end]) < 0x80;
    errors.add(place_of(text, file, end), control ? "a control character" : "not UTF-8 text");
    return nullptr;
  }
  Builder builder(text, file, nodes, errors);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    const YamlPlace place = builder.place(error.mark);
    errors.add(place, syntax_message(error, builder.line(place.line)));
    return nullptr;
  } catch (const std::exception&) {
    // yaml-cpp's own exceptions are all of the kind above; the standard library's may come through
    // it.
    errors.add({file, 1, 1}, "not valid YAML");
    return nullptr;
  }
  builder.report();
  const YamlNode* const root = builder.root();
  if (root == nullptr || root->type == YamlNode::Type::kNull) return nullptr;
  if (root->type == YamlNode::Type::kMapping) return root;
  errors.add(root->place, "the file must hold settings, a line \"key: value\" each");
  return nullptr;
}

const YamlNode* merge_yaml(const YamlNode* first, const YamlNode* second, YamlNodes& nodes,
                           ConfigErrors& errors) {
  if (first == nullptr || second == nullptr) return first == nullptr ? second : first;
  YamlNode& merged = nodes.emplace_back(*first);
  for (const YamlEntry& entry : second->entries) {
    const auto old = std::find_if(merged.entries.begin(), merged.entries.end(),
                                  [&](const YamlEntry& e) { return e.key == entry.key; });
    if (old == merged.entries.end()) {
      merged.entries.push_back(entry);
    } else if (old->value->type == YamlNode::Type::kList &&
               entry.value->type == YamlNode::Type::kList) {
      YamlNode& list = nodes.emplace_back(*old->value);
      list.items.insert(list.items.end(), entry.value->items.begin(), entry.value->items.end());
      old->value = &list;
    } else if (old->value->type == YamlNode::Type::kMapping &&
               entry.value->type == YamlNode::Type::kMapping) {
      old->value = merge_yaml(old->value, entry.value, nodes, errors);
    } else {
      errors.add(entry.place, "\"" + printable(entry.key, 60) + "\" is already set at " +
                                  errors.show(old->place));
    }
  }
  return &merged;
}

}  // namespace lagwatch
