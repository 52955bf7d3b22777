// SPDX-License-Identifier: Apache-2.0
// What is read of each node, and the requests for it: the few things that tell of this minute every
// interval, the rest of elasticsearch_exporter's more seldom.
#pragma once

#include <span>
#include <string>

#include "collector/elasticsearch_nodes.h"

namespace lagwatch {

extern const Schema kElasticsearchPoolSchema;  // of thread pools, on both lanes

// The pools that users and writers go through; the others are the detail lane's.
bool is_main_elasticsearch_pool(std::string_view pool);

std::span<const NodeTable> elasticsearch_main_tables();
std::span<const NodeTable> elasticsearch_detail_tables();
// Asked alone: of 8.19 `fs` is refused without a master, where the rest is answered.
std::span<const NodeTable> elasticsearch_disk_tables();

// Path and query of each, without the server's timeout. `api`: see ElasticsearchServer.
std::string elasticsearch_main_request(int api, bool local_node);
std::string elasticsearch_detail_request(bool local_node);
std::string elasticsearch_disk_request(bool local_node);

}  // namespace lagwatch
