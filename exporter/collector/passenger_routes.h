// SPDX-License-Identifier: Apache-2.0
// Requests by route: the operator's rules first, else the path with what varies taken out of it.
// Paths are what clients sent: the number of routes is bounded, and no query string is kept.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace re2 {
class RE2;
}

namespace lagwatch {

// A line of `routes:`; the first that matches is taken.
struct RouteRule {
  std::string name;
  std::string match;        // RE2, found anywhere in the path unless it says ^ and $
  std::string query_param;  // of the search term
  size_t short_below = 0;   // characters; 0: no term is short
};

// "/a/17?x=1" as "/a/:id": without scheme, host, query, fragment and parameters; the first two
// segments, with numbers, identifiers and what is odd replaced.
std::string normal_route(std::string_view target);

// The path of `target` alone, at most `max_bytes`.
std::string_view path_of(std::string_view target, size_t max_bytes);

// How many characters the value of `param` in the query of `target` has; npos: it has none.
size_t query_length(std::string_view target, std::string_view param);

class RouteTable {
 public:
  explicit RouteTable(const std::vector<RouteRule>& rules);
  ~RouteTable();
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  struct Place {
    std::string route;
    bool short_query = false;
  };
  // Where a request belongs. A route that is not of the rules keeps its place while it is used;
  // where all 50 places are taken, one that was idle for five minutes is given away, else the
  // request is one of `other`.
  Place place(std::string_view method, std::string_view target, Instant now);

  // Forgets routes that were not used for an hour.
  void expire(Instant now);

  // Every route that was used, the rules' and `other` too.
  std::vector<std::string> names() const;
  // Whether the rules say what a short term is there.
  bool counts_short(std::string_view route) const;

 private:
  struct Rule {
    RouteRule options;
    std::unique_ptr<re2::RE2> match;
    bool used = false;
  };
  std::string take(std::string route, Instant now);

  std::vector<Rule> rules_;
  std::map<std::string, Instant> found_;  // when last used
  bool checks_ = false;
  bool other_ = false;
};

}  // namespace lagwatch
