# SPDX-License-Identifier: Apache-2.0
"""Texts of an Elasticsearch by version: its files, its index of products, its searches.

`number` is that of es_binaries.Binaries: 5.6 is 506, 8.19 is 819."""

import json
import random

INDEX = "products"
FIELDS = ("name", "brand", "description")
WORDS = (
    "amber arctic basil birch canvas cedar cobalt copper coral cotton crimson delta ember fennel"
    " forest garnet ginger granite harbor hazel indigo ivory jasmine juniper lavender lemon linen"
    " maple marble meadow mint nickel ocean olive onyx opal orchid pearl pepper pine quartz raven"
    " ruby saffron sage silver slate spruce sterling thyme tulip umber velvet walnut willow zinc"
).split()


def settings(number, name, cluster, address, ports, search, seeds, masters):
    """elasticsearch.yml as {name: value}. ports: of HTTP and transport; search: threads and queue;
    seeds: transport addresses of a cluster, [] for a node alone; masters: how many of it make a
    majority before 7, the names of the first ones since."""
    threads, queue = search
    pool = "thread_pool" if number >= 500 else "threadpool"
    found = {
        "cluster.name": cluster,
        "node.name": name,
        "network.host": address,
        "http.port": ports[0],
        "transport.port" if number >= 700 else "transport.tcp.port": ports[1],
        "cluster.routing.allocation.disk.threshold_enabled": False,
        f"{pool}.search.size": threads,
        f"{pool}.search.queue_size": queue,
    }
    if 600 < number < 800:  # its queue would grow by itself
        found["thread_pool.search.min_queue_size"] = queue
        found["thread_pool.search.max_queue_size"] = queue
    if number < 500:
        found["discovery.zen.ping.multicast.enabled"] = False
    if not seeds:
        if number >= 500:
            found["discovery.type"] = "single-node"
    elif number >= 700:
        found["discovery.seed_hosts"] = seeds
        found["cluster.initial_master_nodes"] = masters
    else:
        found["discovery.zen.ping.unicast.hosts"] = seeds
        found["discovery.zen.minimum_master_nodes"] = len(seeds) // 2 + 1
    if number >= 700:
        found["xpack.security.enabled"] = False
    return found


def conf(values):
    """YAML of flat settings: JSON values are YAML."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def jvm_options(number, heap, collector, directory):
    """jvm.options. A server that lives a minute starts soonest with one compiler and no touching
    of its heap."""
    lines = [
        f"-Xms{heap}",
        f"-Xmx{heap}",
        {"serial": "-XX:+UseSerialGC", "g1": "-XX:+UseG1GC"}[collector],
        "-XX:TieredStopAtLevel=1",
        "-XX:-AlwaysPreTouch",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={directory / 'tmp'}",
        f"-XX:ErrorFile={directory / 'logs'}/hs_err_pid%p.log",
    ]
    if number < 700:
        lines += [
            "-Djava.awt.headless=true",
            "-Dfile.encoding=UTF-8",
            "-Djna.nosys=true",
            "-Dio.netty.noUnsafe=true",
            "-Dio.netty.noKeySetOptimization=true",
            "-Dio.netty.recycler.maxCapacityPerThread=0",
            "-Dlog4j.shutdownHookEnabled=false",
            "-Dlog4j2.disable.jmx=true",
        ]
    if number < 500:
        lines += [f"--add-opens=java.base/java.{one}=ALL-UNNAMED" for one in ("lang", "io")]
    return "\n".join(lines) + "\n"


def index(number, replicas, more=None):
    """The body that makes the index of products: one shard, refreshed on demand only."""
    keyword = {"type": "keyword"} if number >= 500 else {"type": "string", "index": "not_analyzed"}
    fields = {one: keyword for one in FIELDS}
    properties = {"properties": {**fields, "price": {"type": "integer"}}}
    return {
        "settings": {
            "number_of_shards": 1,
            "number_of_replicas": replicas,
            "refresh_interval": -1,
            **(more or {}),
        },
        "mappings": properties if number >= 700 else {"product": properties},
    }


def products(count, seed):
    """Bulk bodies of `count` products, at most 5000 in each."""
    dice = random.Random(seed)
    for first in range(0, count, 5000):
        lines = []
        for _ in range(min(5000, count - first)):
            product = {
                "name": " ".join(dice.choices(WORDS, k=3)),
                "brand": f"{dice.choice(WORDS)} {dice.randrange(1000)}",
                "description": " ".join(dice.choices(WORDS, k=12)),
                "price": dice.randrange(100, 100_000),
            }
            lines += ['{"index":{}}', json.dumps(product)]
        yield "\n".join(lines) + "\n"


def one_character(letter, clauses):
    """A search for one letter anywhere in the products' texts. Each clause begins with a wildcard
    and so walks every term of its field: what it costs grows with the terms and the clauses."""
    found = []
    for number in range(clauses):
        field = ("description", "name")[number % 2]
        before, after = number // 2 % 16, number // 32  # so that no two are the same
        pattern = "?" * before + f"*{letter}*" + "?" * after
        found.append({"wildcard": {field: {"value": pattern}}})
    return {"size": 10, "query": {"bool": {"should": found}}}
