// SPDX-License-Identifier: Apache-2.0
#include "discover/haproxy_config.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

#include "base/text.h"
#include "discover/haproxy_words.h"

namespace lagwatch {
namespace {

constexpr size_t kMaxNotes = 50;
constexpr size_t kMaxUriBytes = 2000;
constexpr size_t kMaxPages = 1000;
constexpr size_t kMaxProxies = 100000;
constexpr unsigned kMaxProcesses = 64;  // HAProxy's own limit

using Words = std::span<const HaproxyWord>;

// The settings of a proxy, or of `defaults`, that matter here.
struct Proxy {
  struct Bind {
    HaproxyAddress address;
    bool tls = false;
  };

  std::string name;
  bool frontend = false;  // clients reach it
  bool http = false;
  bool disabled = false;
  std::vector<Bind> binds;
  std::string odd_bind;  // why one is not among them
  std::string default_backend;
  bool other_backends = false;  // use_backend: which, only the requests decide

  bool stats = false;
  bool stats_inherited = false;  // from defaults; the first `stats` of one's own drops all of it
  std::string stats_uri = "/haproxy?stats";
  bool stats_uri_unresolved = false;
  bool stats_password = false;
  bool stats_rules = false;
  std::string stats_place;
};

const HaproxyWord* find_word(Words words, std::string_view text) {
  const auto found = std::find_if(words.begin(), words.end(),
                                  [&](const HaproxyWord& w) { return w.text == text; });
  return found == words.end() ? nullptr : &*found;
}

// The word after `key`, or nothing.
std::optional<std::string> value_of(Words words, std::string_view key) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i].text == key) return words[i + 1].text;
  }
  return std::nullopt;
}

// "all", "odd", "even", "2", "1-4", each perhaps with "/threads"; as bits, 0 for all.
uint64_t process_set(std::string_view text) {
  text = text.substr(0, text.find('/'));
  if (text == "odd") return 0x5555555555555555U;
  if (text == "even") return 0xAAAAAAAAAAAAAAAAU;
  const size_t dash = text.find('-');
  const auto first = parse_number<unsigned>(text.substr(0, dash));
  const auto last =
      dash == std::string_view::npos ? first : parse_number<unsigned>(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *last > kMaxProcesses) return 0;
  uint64_t bits = 0;
  for (unsigned i = *first; i <= *last; ++i) bits |= uint64_t{1} << (i - 1);
  return bits;
}

// Reads all files of one HAProxy, line by line.
class Reader {
 public:
  void read_file(const HaproxyConfigText& file) {
    section_ = Section::kOther;
    std::string_view rest = file.text;
    for (size_t number = 1; !rest.empty(); ++number) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      place_ = file.path + ":" + std::to_string(number);
      const std::vector<HaproxyWord> words = haproxy_words(rest.substr(0, end));
      if (!words.empty()) read_line(words);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    end_section();
  }

  HaproxyConfig finish() {
    for (HaproxyStatsSocket& socket : config_.sockets) {
      if (socket.processes == 0) socket.processes = bind_process_;
    }
    for (const Proxy& proxy : proxies_) {
      if (proxy.frontend) fronts_[proxy.default_backend].push_back(&proxy);
    }
    for (const Proxy& proxy : proxies_) add_pages(proxy);
    return std::move(config_);
  }

 private:
  enum class Section { kGlobal, kDefaults, kProxy, kOther };

  void note(std::string text) {
    if (config_.notes.size() < kMaxNotes) config_.notes.push_back(std::move(text));
  }

  void read_line(Words words) {
    const std::string& first = words[0].text;
    // Branches are all read, as if each were taken: the socket of a false one does not exist, and
    // is seen not to.
    if (first.starts_with('.')) return;
    if (begin_section(words)) return;
    if (section_ == Section::kGlobal) read_global(words);
    if (section_ == Section::kDefaults || section_ == Section::kProxy) read_proxy(words);
  }

  bool begin_section(Words words) {
    constexpr std::string_view kOthers[] = {
        "peers",    "resolvers",   "mailers", "userlist",    "cache",
        "program",  "http-errors", "ring",    "log-forward", "log-profile",
        "fcgi-app", "crt-store",   "traces",  "acme",        "healthcheck"};
    const std::string& first = words[0].text;
    if (first == "global") {
      end_section();
      section_ = Section::kGlobal;
    } else if (first == "defaults") {
      end_section();
      section_ = Section::kDefaults;
      begin_proxy(words);
    } else if (first == "listen" || first == "frontend" || first == "backend") {
      end_section();
      section_ = Section::kProxy;
      begin_proxy(words);
      proxy_.frontend = first != "backend";
      if (proxy_.frontend && words.size() > 2 && words[2].text != "from")
        read_bind(words.subspan(1));  // 1.4
    } else if (std::find(std::begin(kOthers), std::end(kOthers), first) != std::end(kOthers)) {
      end_section();
      section_ = Section::kOther;
    } else {
      return false;
    }
    return true;
  }

  void begin_proxy(Words words) {
    const auto from = value_of(words.subspan(1), "from");
    const auto named = from ? named_defaults_.find(*from) : named_defaults_.end();
    if (section_ == Section::kProxy || from)
      proxy_ = named == named_defaults_.end() ? defaults_ : named->second;
    proxy_.name = words.size() > 1 ? words[1].text : std::string();
    proxy_.stats_inherited = proxy_.stats;
  }

  void end_section() {
    if (section_ == Section::kDefaults) {
      defaults_ = proxy_;
      if (!proxy_.name.empty() && named_defaults_.size() < kMaxProxies)
        named_defaults_[proxy_.name] = proxy_;
    }
    if (section_ == Section::kProxy && proxies_.size() < kMaxProxies) proxies_.push_back(proxy_);
    proxy_ = {};
    section_ = Section::kOther;
  }

  void read_global(Words words) {
    const std::string& first = words[0].text;
    if (first == "nbproc" && words.size() > 1) {
      const auto count = parse_number<unsigned>(words[1].text);
      if (count) config_.nbproc = std::clamp(*count, 1U, kMaxProcesses);
    }
    if (first != "stats" || words.size() < 3) return;
    if (words[1].text == "socket") read_socket(words.subspan(2));
    if (words[1].text == "bind-process") {
      for (const HaproxyWord& word : words.subspan(2)) bind_process_ |= process_set(word.text);
    }
  }

  void read_socket(Words words) {
    HaproxyStatsSocket socket{
        .path = {}, .tcp = {}, .loopback = false, .processes = 0, .place = place_};
    const std::string level = value_of(words, "level").value_or("operator");
    if (level == "user") socket.level = HaproxyLevel::kUser;
    if (level == "admin") socket.level = HaproxyLevel::kAdmin;
    if (const auto processes = value_of(words, "process"))
      socket.processes = process_set(*processes);
    const bool wrapped =
        find_word(words, "ssl") != nullptr || find_word(words, "accept-proxy") != nullptr;
    for (const HaproxyAddress& address : haproxy_addresses(words[0].text)) {
      if (address.kind == HaproxyAddress::Kind::kUnsupported) {
        note("the stats socket at " + place_ + " cannot be used: " + address.value);
        continue;
      }
      if (address.kind == HaproxyAddress::Kind::kNone) continue;
      if (wrapped) {
        note("the stats socket at " + place_ +
             " cannot be used: lagwatch speaks neither TLS nor PROXY to it");
        continue;
      }
      const bool path = address.kind == HaproxyAddress::Kind::kPath;
      socket.path = path ? address.value : "";
      socket.tcp = path ? "" : "tcp://" + address.value;
      socket.loopback = address.loopback;
      config_.sockets.push_back(socket);
    }
  }

  void read_proxy(Words words) {
    const std::string& first = words[0].text;
    const std::string second = words.size() > 1 ? words[1].text : std::string();
    if (first == "mode") proxy_.http = second == "http";
    if (first == "disabled") proxy_.disabled = true;
    if (first == "enabled") proxy_.disabled = false;
    if (first == "bind" && words.size() > 1) read_bind(words);
    if (first == "default_backend") proxy_.default_backend = second;
    if (first == "use_backend") proxy_.other_backends = true;
    if (first == "stats" && words.size() > 1) read_stats(words.subspan(1));
  }

  // words[1] is the address.
  void read_bind(Words words) {
    // Those that lagwatch could not connect to from this host: a PROXY header comes first, another
    // device.
    if (find_word(words, "accept-proxy") != nullptr || find_word(words, "interface") != nullptr ||
        find_word(words, "namespace") != nullptr) {
      return;
    }
    for (HaproxyAddress& address : haproxy_addresses(words[1].text)) {
      if (address.kind == HaproxyAddress::Kind::kUnsupported) proxy_.odd_bind = address.value;
      if (address.kind != HaproxyAddress::Kind::kTcp) continue;
      proxy_.binds.push_back({std::move(address), find_word(words, "ssl") != nullptr});
    }
  }

  // Any `stats` line switches the page on, in a proxy without those of its defaults.
  void read_stats(Words words) {
    const std::string& what = words[0].text;
    if (what == "socket" || what == "timeout" || what == "maxconn" || what == "bind-process")
      return;
    if (proxy_.stats_inherited) {
      const Proxy fresh;
      proxy_.stats_inherited = false;
      proxy_.stats_uri = fresh.stats_uri;
      proxy_.stats_uri_unresolved = proxy_.stats_password = proxy_.stats_rules = false;
    }
    proxy_.stats = true;
    proxy_.stats_place = place_;
    if (what == "uri" && words.size() > 1) {
      proxy_.stats_uri = words[1].text;
      proxy_.stats_uri_unresolved = words[1].unresolved;
    }
    if (what == "auth") proxy_.stats_password = true;
    if (what == "http-request" || what == "scope") proxy_.stats_rules = true;
  }

  void add_pages(const Proxy& proxy) {
    if (!proxy.stats || !proxy.http || proxy.disabled) return;
    const std::string& uri = proxy.stats_uri;
    const bool plain = uri.starts_with('/') && uri.size() <= kMaxUriBytes &&
                       std::all_of(uri.begin(), uri.end(), [](char c) {
                         return c > 0x20 && c < 0x7F &&
                                std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
                       });
    if (proxy.stats_uri_unresolved || !plain) {
      return note("the statistics page at " + proxy.stats_place +
                  " has a URI that cannot be asked from here");
    }
    if (proxy.frontend) return add_pages(proxy, proxy);
    bool reached = false;
    for (const Proxy* front : fronts_[proxy.name]) {
      // Where other backends come first, what reaches this one is not certain.
      reached = reached || !front->other_backends;
      if (!front->other_backends && front->http && !front->disabled) add_pages(proxy, *front);
    }
    // Inherited pages of backends are not worth a note each.
    if (!reached && !proxy.stats_inherited) {
      note("the statistics page at " + proxy.stats_place + " is in backend " +
           printable(proxy.name, 60) + "; which requests reach it, frontends decide");
    }
  }

  void add_pages(const Proxy& proxy, const Proxy& front) {
    if (front.binds.empty() && !front.odd_bind.empty()) {
      note("the statistics page at " + proxy.stats_place + " cannot be used: of its address, " +
           front.odd_bind);
    }
    for (const Proxy::Bind& bind : front.binds) {
      if (config_.pages.size() >= kMaxPages) return;
      config_.pages.push_back({.url = (bind.tls ? "https://" : "http://") + bind.address.value +
                                      proxy.stats_uri + ";csv",
                               .loopback = bind.address.loopback,
                               .password = proxy.stats_password,
                               .rules = proxy.stats_rules,
                               .place = proxy.stats_place});
    }
  }

  HaproxyConfig config_;
  uint64_t bind_process_ = 0;
  Section section_ = Section::kOther;
  std::string place_;  // of the current line
  Proxy proxy_;        // of the current section
  Proxy defaults_;
  std::map<std::string, Proxy> named_defaults_;
  std::vector<Proxy> proxies_;
  std::map<std::string, std::vector<const Proxy*>> fronts_;  // by default_backend
};

}  // namespace

std::string_view level_name(HaproxyLevel level) {
  switch (level) {
    case HaproxyLevel::kUser:
      return "user";
    case HaproxyLevel::kOperator:
      return "operator";
    case HaproxyLevel::kAdmin:
      return "admin";
  }
  return "admin";
}

HaproxyConfig parse_haproxy_config(std::span<const HaproxyConfigText> files) {
  Reader reader;
  for (const HaproxyConfigText& file : files) reader.read_file(file);
  return reader.finish();
}

}  // namespace lagwatch
