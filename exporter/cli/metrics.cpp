// SPDX-License-Identifier: Apache-2.0
// `lagwatch metrics`: every metric, from the declarations that also write the exposition.
#include <CLI/CLI.hpp>
#include <string>

#include "base/text.h"
#include "cli/options.h"
#include "cli/session.h"
#include "expose/process.h"

namespace lagwatch {
namespace {

struct Metric {
  std::string name;
  std::string type;
  std::vector<std::string> labels;
  std::string source;
  std::string help;
};

std::vector<Metric> every_metric() {
  const Catalog catalog(all_schemas());
  std::vector<Metric> out;
  for (const Catalog::Family& family : catalog.families()) {
    const Column& column = *family.column;
    Metric metric{std::string(column.name),
                  std::string(type_name(column.type)),
                  {"target"},
                  std::string(column.source),
                  std::string(column.help)};
    for (const std::string_view label : catalog.schemas()[family.parts.front().schema]->labels) {
      metric.labels.emplace_back(label);
    }
    if (!column.label.empty()) metric.labels.emplace_back(column.label);
    out.push_back(std::move(metric));
  }
  // A server without requests has no family of requests yet.
  const auto stats = std::make_shared<HttpStats>();
  stats->routes.emplace_back().by_status[HttpStats::place_of(200)] = 1;
  const ProcessMetrics process(version(), stats);
  for (const prometheus::MetricFamily& family : process.families()) {
    Metric metric{family.name, "gauge", {}, "lagwatch", family.help};
    if (family.type == prometheus::MetricType::Counter) metric.type = "counter";
    if (family.type == prometheus::MetricType::Histogram) metric.type = "histogram";
    if (!family.metric.empty()) {
      for (const auto& label : family.metric.front().label) metric.labels.push_back(label.name);
    }
    out.push_back(std::move(metric));
  }
  return out;
}

std::string joined(const std::vector<std::string>& parts, const std::string& separator) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

std::string as_markdown(const std::vector<Metric>& metrics) {
  std::string out = "| metric | type | labels | source | meaning |\n|---|---|---|---|---|\n";
  for (const Metric& metric : metrics) {
    out += "| `" + metric.name + "` | " + metric.type + " | " + joined(metric.labels, ", ") +
           " | " + metric.source + " | " + metric.help + " |\n";
  }
  return out;
}

std::string as_json(const std::vector<Metric>& metrics) {
  std::string out = "[";
  for (const Metric& metric : metrics) {
    out += out.size() > 1 ? ",\n{" : "\n{";
    const auto field = [&](const char* key, const std::string& value) {
      append_json_string(out, key);
      out += ':';
      append_json_string(out, value);
      out += ',';
    };
    field("name", metric.name);
    field("type", metric.type);
    field("source", metric.source);
    field("help", metric.help);
    out += "\"labels\":[";
    for (size_t i = 0; i < metric.labels.size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, metric.labels[i]);
    }
    out += "]}";
  }
  return out + "\n]\n";
}

std::string as_text(const std::vector<Metric>& metrics) {
  std::string out;
  for (const Metric& metric : metrics) {
    out += metric.name + " (" + metric.type + ") {" + joined(metric.labels, ",") + "}\n    " +
           metric.help;
    if (!metric.source.empty()) out += " [" + metric.source + "]";
    out += '\n';
  }
  return out;
}

}  // namespace

int metrics_command(const Arguments& arguments) {
  CLI::App app("Lists every metric: name, type, labels, source, help.", "lagwatch metrics");
  std::string format = "text";
  app.add_option("--format", format, "text, md or json")
      ->check(CLI::IsMember({"text", "md", "json"}))
      ->capture_default_str();
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const std::vector<Metric> metrics = every_metric();
  if (format == "md") {
    print(as_markdown(metrics));
  } else if (format == "json") {
    print(as_json(metrics));
  } else {
    print(as_text(metrics));
  }
  return kFine;
}

}  // namespace lagwatch
