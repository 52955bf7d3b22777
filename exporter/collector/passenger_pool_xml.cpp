// SPDX-License-Identifier: Apache-2.0
#include "collector/passenger_pool_xml.h"

#include <algorithm>
#include <pugixml.hpp>

#include "base/text.h"

namespace lagwatch {
namespace {

constexpr double kMicrosecond = 1e-6;

std::optional<double> number(const pugi::xml_node& node, const char* key) {
  return parse_number<double>(trim(node.child(key).text().get()));
}

// Counts and sizes; -1 is what Passenger does not know.
std::optional<double> amount(const pugi::xml_node& node, const char* key) {
  const auto value = number(node, key);
  return value && *value >= 0 ? value : std::nullopt;
}

std::optional<double> moment(const pugi::xml_node& node, const char* key) {
  const auto value = amount(node, key);
  if (!value) return std::nullopt;
  return *value * kMicrosecond;
}

PoolProcess read_process(const pugi::xml_node& node) {
  PoolProcess out;
  out.gupid = node.child("gupid").text().get();
  out.pid = parse_number<int64_t>(node.child("pid").text().get()).value_or(0);
  out.enabled = node.child("enabled").text().get();
  out.concurrency = amount(node, "concurrency");
  out.sessions = amount(node, "sessions");
  out.processed = amount(node, "processed");
  out.spawned = moment(node, "spawn_end_time");
  out.last_used = moment(node, "last_used");
  if (node.child("has_metrics")) {
    out.cpu = amount(node, "cpu");
    out.rss = amount(node, "rss");
    out.pss = amount(node, "pss");
    out.private_dirty = amount(node, "private_dirty");
    out.swap = amount(node, "swap");
    out.real_memory = amount(node, "real_memory");
  }
  return out;
}

PoolGroup read_group(const pugi::xml_node& node) {
  PoolGroup out;
  out.name = node.child("name").text().get();
  out.is_default = std::string_view(node.attribute("default").value()) == "true";
  out.queue = amount(node, "get_wait_list_size");
  out.spawning = amount(node, "processes_being_spawned");
  out.enabled = amount(node, "enabled_process_count");
  out.disabling = amount(node, "disabling_process_count");
  out.disabled = amount(node, "disabled_process_count");
  for (const pugi::xml_node process : node.child("processes").children("process"))
    out.processes.push_back(read_process(process));
  return out;
}

// Before 5.0.11 requests could wait in the supergroup, too; since then it says 0.
void add_supergroup_queue(const pugi::xml_node& supergroup, PoolGroup& group) {
  const auto queue = amount(supergroup, "get_wait_list_size");
  if (group.is_default && group.queue && queue) *group.queue += *queue;
}

}  // namespace

Result<Pool> parse_pool(std::string_view text) {
  const size_t begin = std::min(text.find("<?xml"), text.find("<info"));
  if (begin == std::string_view::npos) {
    if (text.find("multiple") != std::string_view::npos) {
      return Error{Reason::kUnsupported,
                   "several instances of Passenger run, and passenger-status shows none of them",
                   "name one: append its name, which passenger-status prints, to status_command; "
                   "or use Passenger 5 or later, which is asked without it"};
    }
    return Error{
        Reason::kProtocol, "not the XML of Passenger: \"" + printable(text, 120) + "\"", {}};
  }
  text.remove_prefix(begin);
  pugi::xml_document document;
  // The declaration says iso-8859-1; names are as the file system has them.
  const pugi::xml_parse_result parsed = document.load_buffer(
      text.data(), text.size(), pugi::parse_default, pugi::xml_encoding::encoding_utf8);
  const pugi::xml_node info = document.child("info");
  if (!parsed || !info) {
    return Error{Reason::kProtocol,
                 std::string("pool.xml: ") + (parsed ? "no element info" : parsed.description()),
                 {}};
  }
  Pool out;
  out.version = info.child("passenger_version").text().get();
  out.queue = amount(info, "get_wait_list_size");
  out.max = amount(info, "max");
  out.process_count = amount(info, "process_count");
  out.capacity_used = amount(info, "capacity_used");
  for (const pugi::xml_node supergroup : info.child("supergroups").children("supergroup")) {
    for (const pugi::xml_node group : supergroup.children("group")) {
      PoolGroup& read = out.groups.emplace_back(read_group(group));
      add_supergroup_queue(supergroup, read);
    }
  }
  return out;
}

}  // namespace lagwatch
