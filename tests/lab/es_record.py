# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/elasticsearch: what real servers answer to every request of the collector.

    cd tests && python3 -m lab.es_record [VERSION...]

Bodies are kept as they came. The README beside them says what the cases and files are."""

import sys
from pathlib import Path

from .elasticsearch import Elasticsearch, ElasticsearchCluster
from .es_binaries import VERSIONS
from .es_config import INDEX
from .process import Lab, LabError, Unavailable, wait_until

DATA = Path(__file__).resolve().parent.parent / "data" / "elasticsearch"
DOCUMENTS = 20_000
QUEUE = 10
WAIT = 180.0  # seconds until the last of the queued searches has its answer
CLUSTERS = ("6.8", "7.17", "8.19", "9.1")
METRICS = "indices,jvm,thread_pool,process,breaker,http,fs"
INDEX_METRICS = "search,indexing,refresh,merge,docs"
FILTER = (
    "_nodes.failed,_nodes.total,_nodes.failures.node_id,_nodes.failures.caused_by.type,"
    "cluster_name,nodes.*.name,nodes.*.host,nodes.*.roles,nodes.*.indices.docs.count,"
    "nodes.*.indices.search.query_*,nodes.*.indices.search.fetch_*,"
    "nodes.*.indices.search.open_contexts,nodes.*.indices.search.scroll_current,"
    "nodes.*.indices.indexing.index_*,nodes.*.indices.indexing.*throttle*,"
    "nodes.*.indices.refresh.total*,nodes.*.indices.merges.current,"
    "nodes.*.indices.merges.total_throttled_time_in_millis,nodes.*.jvm.uptime_in_millis,"
    "nodes.*.jvm.mem.heap_*,nodes.*.jvm.mem.pools.old.used_in_bytes,"
    "nodes.*.jvm.gc.collectors.*.collection_*,nodes.*.process.*_file_descriptors,"
    "nodes.*.process.cpu.percent,nodes.*.thread_pool.search.*,nodes.*.thread_pool.write.*,"
    "nodes.*.thread_pool.bulk.*,nodes.*.thread_pool.index.*,nodes.*.thread_pool.get.*,"
    "nodes.*.thread_pool.management.*,nodes.*.thread_pool.search_*.*,"
    "nodes.*.breakers.*.*_in_bytes,nodes.*.breakers.*.tripped,nodes.*.http.current_open,"
    "nodes.*.http.total_opened,nodes.*.fs.total.*_in_bytes,"
    "nodes.*.indexing_pressure.memory.*.*all_in_bytes,"
    "nodes.*.indexing_pressure.memory.total.*_rejections,"
    "nodes.*.indexing_pressure.memory.limit_in_bytes"
)
SEARCHES = "indices:data/read/search,indices:data/read/msearch,indices:data/read/scroll"
TASK_FIELDS = ("running_time_in_nanos", "action", "node", "cancellable", "cancelled")


def requests(number):
    """{file: path} of what is asked of a server of this version."""
    metrics = METRICS + (",indexing_pressure" if number >= 709 else "")
    grouped, prefix = ("&group_by=none", "tasks") if number >= 600 else ("", "nodes.*.tasks.*")
    fields = ",".join(f"{prefix}.{one}" for one in TASK_FIELDS)
    found = {
        "root.json": "/",
        "health.json": "/_cluster/health?master_timeout=1s&timeout=1s",
        "nodes.json": f"/_nodes/stats/{metrics}/{INDEX_METRICS}?timeout=2s&filter_path={FILTER}",
        "nodes_full.json": "/_nodes/stats/indices,os,process,jvm,thread_pool,fs,transport,http,"
        "breaker?timeout=2s",
        "tasks.json": f"/_tasks?actions={SEARCHES}{grouped}&timeout=2s&filter_path={fields}",
    }
    if number >= 812:
        found["routes.json"] = (
            "/_nodes/stats/http?timeout=2s&filter_path="
            "nodes.*.name,nodes.*.host,nodes.*.http.routes.*search*.*"
        )
    found["probe.json"] = (
        f"/{INDEX}/_search?size=0&request_cache=false&terminate_after=1&timeout=1s"
        "&filter_path=took,timed_out,_shards"
    )
    return found


class Recorder:
    """Records cases of one version."""

    def __init__(self, version, number):
        self.version = version
        self.requests = requests(number)

    def keep(self, case, file, response):
        """Writes a body as it came, and its status where that is not 200."""
        directory = DATA / self.version / case
        directory.mkdir(parents=True, exist_ok=True)
        (directory / file).write_bytes(response.body)
        status = directory / f"{file}.status"
        status.unlink(missing_ok=True)
        if response.status != 200:
            status.write_text(f"{response.status}\n", encoding="ascii")

    def record(self, case, server, without=()):
        """Asks everything in the order of the requests; `without`: files that are not asked."""
        for file, path in self.requests.items():
            if file not in without:
                self.keep(case, file, server.get(path, timeout=WAIT))
        print(f"{self.version}/{case}", flush=True)


def record_one(lab, version):
    """The cases of a node alone, each on what the ones before have left."""
    server = Elasticsearch(lab, version, "one", search_queue=QUEUE, **options(version)).start()
    recorder = Recorder(version, server.number)
    server.fill(DOCUMENTS)
    for _ in range(3):
        server.get(recorder.requests["probe.json"])
    server.write()
    recorder.record("idle", server)
    with server.saturated(each=1.0):
        recorder.record("saturated", server)
    threads, queue = server.search
    wait_idle(server)
    clients = threads + queue + 20
    with server.slow_searches(clients, each=1.0) as searches:
        server.wait_search_pool(active=threads, queue=queue - threads, rejected=1)
        record_rejected(recorder, server)
    print(f"{version}: {clients} clients, {searches.clauses} clauses: {searches.statuses}")
    wait_idle(server)
    with server.read_only():
        recorder.record("readonly", server)
        recorder.keep("readonly", "write.json", server.write())
    server.make_red()
    recorder.record("red", server)


def wait_idle(server):
    """Waits until no search is left, of clients that have left either."""
    wait_until(lambda: not server.search_pool()["one"]["active"], WAIT, "its searches have ended")


def record_rejected(recorder, server):
    """The probe when the queue is full: it may find a place, so it is asked until it does not."""

    def refused():
        response = server.get(recorder.requests["probe.json"], timeout=WAIT)
        return response if response.status != 200 else None

    recorder.record("rejected", server, without=("probe.json",))
    response = wait_until(refused, WAIT, "a search is rejected")
    recorder.keep("rejected", "probe.json", response)


def record_three(lab, version):
    """The cases of three nodes: one lost and not yet given up, one gone, no majority."""
    cluster = ElasticsearchCluster(lab, version, name="node", **options(version)).start()
    server = cluster.master()
    server.fill(DOCUMENTS, replicas=1)
    server.wait_health(lambda health: health["status"] == "green", "the cluster is green")
    recorder = Recorder(version, server.number)
    recorder.record("three", server)
    lost, other = cluster.others()
    lost.sigstop()
    recorder.record("three_hung", server)
    lost.kill9()
    server.wait_health(lambda health: health["number_of_nodes"] == 2, "a node is gone")
    recorder.record("three_lost", server)
    other.kill9()
    wait_until(
        lambda: server.get("/_cluster/health?master_timeout=1s&timeout=1s").status == 503,
        60,
        "it has no master",
    )
    recorder.record("no_master", server)


def options(version):
    """Garbage collector as in production where Java still has it; few closed connections in
    nodes_full.json, where by default there are up to 10,000."""
    if int(version.partition(".")[0]) < 7:
        return {"collector": "serial"}
    settings = {"http.client_stats.closed_channels.max_count": 10}
    return {"collector": "g1", "settings": settings}


def main(versions):
    failed = False
    for version in versions or VERSIONS:
        for record in (record_one, record_three):
            if record is record_three and version not in CLUSTERS:
                continue
            try:
                with Lab() as lab:
                    record(lab, version)
            except (LabError, Unavailable, OSError) as error:
                print(f"{version}: {error}", file=sys.stderr, flush=True)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
