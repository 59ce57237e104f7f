"""Rows of the API as its callers meet it: reads, explanations, the command line, the server's memory."""
import json
import os
import subprocess
import time

from common import BIN, OUT, Process, fail, free_port, fresh, log, median, percentile, row, template
from effective import PER_OBJECT, http_server, spec, start
from fleet import GROUP, ORG, Cluster, Server, Workload, wait_until
from peers import Certificates

ROUNDS = 5
MIB = 1024 * 1024
HOSTS = 10_000


def reads(where, token, path, clients, seconds, *rate):
    """`rate`: reads a second of each client; without one, one after the other."""
    done = subprocess.run([os.path.join(BIN, "weir-bench-apiload"), "get", where, token, path,
                           *(str(word) for word in (clients, seconds, *rate))], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    if result["errors"]:
        fail(f"api_get: {result['errors']} errors: {done.stderr.strip()}")
    return result


def nginx_file(body):
    """nginx with TLS, answering every GET with these bytes."""
    folder = fresh("api-nginx")
    with open(os.path.join(folder, "body.json"), "wb") as file:
        file.write(body)
    certificates = Certificates()
    where = f"127.0.0.1:{free_port()}"
    path = template("nginx-file.conf", folder, DIR=folder, LISTEN=where, SERVER=certificates.server, KEY=certificates.server_key)
    return Process("api-nginx", ["nginx", "-c", path, "-p", folder]).wait_port(where), where


def api_get():
    server = Server("api-get-server")
    nginx = None
    try:
        server.tenancy(["*/shop"])
        for begin in range(0, HOSTS, PER_OBJECT):
            server.create(GROUP, "gateways", f"many-{begin}",
                          spec([http_server(f"s{i}", f"h{i}.example.com", "blue") for i in range(begin, begin + PER_OBJECT)]))
        path = f"/v2/{ORG}/tenants/shop"
        nginx, where = nginx_file(json.dumps(server.call("GET", path)).encode())
        reads(server.rest, server.token, path, 8, 0.5)
        reads(where, "x", "/body.json", 8, 0.5)
        contenders = ((server.process, server.rest, server.token, path), (nginx, where, "x", "/body.json"))
        costs, saturated, paced = ([], []), ([], []), ([], [])
        for _ in range(ROUNDS):
            for of, (process, target, token, what) in enumerate(contenders):
                before = process.cpu_ns()
                result = reads(target, token, what, 64, 2)
                costs[of].append((process.cpu_ns() - before) / result["done"] / 1000)
                saturated[of].append(result["p99_ms"])
                paced[of].append(reads(target, token, what, 64, 2, 50)["p99_ms"])
        ratio = median([t / o for o, t in zip(*costs)])
        p99 = [median(times) for times in paced]
        return [row("api_get", median(costs[0]), median(costs[1]), "nginx", ratio, 0.25, ROUNDS, "us CPU/read", measure="64 clients"),
                row("api_get", p99[0], p99[1], "nginx", None, 2, ROUNDS, "ms", measure="p99, 64 clients, 50 reads/s each", good=p99[0] <= 2),
                row("api_get", median(saturated[0]), median(saturated[1]), "nginx", None, None, ROUNDS, "ms",
                    measure="p99, 64 clients without a pause")]
    finally:
        if nginx is not None:
            nginx.stop()
        server.process.stop()


def explain():
    """Asked about the host of one of 10,000 on a gateway that serves them all; now, and of an earlier revision."""
    server, cluster, _, _ = start(HOSTS)
    try:
        before = int(server.call("GET", "/v2/revisions?pageSize=1")["items"][0]["number"])
        server.create(ORG, "tenants", "later", {})
        rows = []
        for measure, more in (("now", {}), ("as of an earlier revision", {"asOfRevision": before})):
            times = []
            for number in range(40):
                host = f"h{number * 200 + 7}.example.com"
                began = time.monotonic()
                answer = server.call("POST", f"/v2/{ORG}:explainRoute", {"host": host, "path": f"/{number}", **more})
                times.append((time.monotonic() - began) * 1000)
                item = answer["items"][0]
                if item["outcome"] != "SERVICE" or item["rule"]["host"] != host or item.get("whyNot"):
                    fail(f"explain: {json.dumps(item)[:400]}")
            log(json.dumps({f"explain ms, {measure}": [round(t, 1) for t in times]}))
            worst = max(times)
            rows.append(row("explain", worst, None, None, None, 200, len(times), "ms", measure=f"worst, {measure}", good=worst <= 200))
        server.await_ready()
        return rows
    finally:
        cluster.stop()
        server.process.stop()


def weir(server, *arguments):
    """Milliseconds of one `weir`, from its start to its end."""
    environment = {**os.environ, "WEIR_HOME": os.path.join(OUT, "cli-home"), "WEIR_SERVER": f"127.0.0.1:{server.ports[1]}",
                   "WEIR_CA_FILE": os.path.join(server.folder, "server-anchor.pem"), "WEIR_ORG": "bench", "WEIR_TOKEN": server.token}
    began = time.monotonic()
    done = subprocess.run([os.path.join(BIN, "weir"), *arguments], env=environment, capture_output=True, text=True)
    taken = (time.monotonic() - began) * 1000
    if done.returncode:
        fail(f"weir {' '.join(arguments)}: {done.stderr.strip()}")
    return taken, done.stdout


def cli_get():
    """Over loopback the network is nothing: what is left is the start of the process, its handshake and the server."""
    server = Server("cli-server")
    try:
        for begin in range(0, HOSTS, 500):
            documents = "\n---\n".join(f"{{apiVersion: api.weir.dev/v2, kind: Tenant, metadata: {{organization: bench, name: t{number}}}}}"
                                      for number in range(begin, begin + 500))
            server.call("POST", "/v2/documents:apply", {"documents": documents + "\n"})
        one, page = [], []
        for number in range(21):
            taken, out = weir(server, "get", "tenant", f"t{number * 400 + 3}")
            if f"t{number * 400 + 3}" not in out:
                fail(f"cli_get: {out[:200]}")
            one.append(taken)
        for _ in range(5):
            taken, out = weir(server, "get", "tenants", "-o", "name")
            if out.count("\n") != HOSTS:
                fail(f"cli_get: {out.count(chr(10))} names")
            page.append(taken)
        log(json.dumps({"cli_get ms": [round(t, 1) for t in one]}))
        return [row("cli_get", median(one), None, None, None, 50, len(one), "ms", measure="one of 10,000, median", good=median(one) <= 50),
                row("cli_get", percentile(one, 0.9), None, None, None, None, len(one), "ms", measure="one of 10,000, p90"),
                row("cli_get", median(page), None, None, None, None, len(page), "ms", measure="the names of all 10,000, median")]
    finally:
        server.process.stop()


AGENTS, CLUSTERS, SERVICES = 10, 100, 1000


def memory_row(server, measure, goal):
    time.sleep(2)
    memory = server.process.memory()
    whole, anon = memory["VmRSS"] / MIB, memory["RssAnon"] / MIB
    return [row("rss_server", whole, None, None, None, goal, 1, "MiB", measure=f"VmRSS, {measure}", good=whole <= goal),
            row("rss_server", anon, None, None, None, None, 1, "MiB", measure=f"RssAnon, {measure}")]


def rss_server():
    """100 clusters, of which ten have an agent with 100 services and workloads each; then 10,000 hosts beside them."""
    server = Server("rss-server")
    clusters = []
    try:
        server.tenancy(["*/shop"])
        for number in range(AGENTS, CLUSTERS):
            server.create(ORG, "clusters", f"c{number}", {})
        each = SERVICES // AGENTS
        for number in range(AGENTS):
            names = [f"web{i}" for i in range(each)]
            services = [{"name": name, "namespace": "shop", "host": f"{name}.shop.svc.cluster.local", "ports": [8080],
                         "selector": {"app": name}} for name in names]
            address = f"127.40.{number + 1}."
            workloads = [Workload(name, "shop", address + str(20 + i), None, {"app": name}) for i, name in enumerate(names)]
            clusters.append(Cluster(server, f"c{number}", address + "2", workloads, services))
        def known():
            return sum(int(server.call("GET", f"/v2/{ORG}/clusters/c{n}")["state"].get("services", 0)) for n in range(AGENTS))
        wait_until("the services", 120, lambda: known() == SERVICES)
        rows = memory_row(server, "100 clusters and 1,000 services", 256)
        for begin in range(0, HOSTS, PER_OBJECT):
            names = range(begin, begin + PER_OBJECT)
            server.create(GROUP, "gateways", f"many-{begin}", spec([http_server(f"s{i}", f"h{i}.example.com", "web1") for i in names]))
        return rows + memory_row(server, "10,000 hosts too", 512)
    finally:
        for cluster in clusters:
            cluster.stop()
        server.process.stop()
