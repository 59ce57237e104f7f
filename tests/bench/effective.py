"""Row `effective`: a write accepted over REST until the first request is served the new way, one real gateway."""
import json
import os
import re
import signal
import subprocess
import time

from common import BIN, LOAD_CPU, OUT, Process, fresh, free_port, log, median, percentile, row, template
from fleet import GROUP, T2_PORT, Cluster, Prober, Server, Workload, wait_until

HOST = "servicea.example.com"
ADDRESS = "127.40.0."
GATEWAY = f"{ADDRESS}10:{T2_PORT}"
PER_OBJECT = 100  # Hosts of one Gateway document.
WRITES = 60
WRITES_AT_REST = 40


def http_server(name, hostname, service):
    return {"name": name, "hostname": hostname, "port": 80,
            "routing": {"rules": [{"route": {"serviceDestination":
                                             {"host": f"shop/{service}.shop.svc.cluster.local", "port": 8080}}}]}}


def spec(servers):
    return {"workloadSelector": {"namespace": "shop", "labels": {"app": "t2"}}, "http": servers}


def start(routes):
    """Server, agent, one tier-2 gateway, two services of one pod each; `routes` more hosts."""
    server = Server("effective-server")
    server.tenancy(["one/shop"])
    app = os.path.join(BIN, "weir-demo-app")
    workloads = [Workload("t2", "shop", ADDRESS + "10", "weir-tier2", {"app": "t2"}, {80: T2_PORT})]
    for number, name in ((21, "blue"), (22, "green")):
        workloads.append(Workload(name, "shop", f"{ADDRESS}{number}", "weir-podproxy", {"app": name}, account=name,
                                  app=[app, "--listen", f"{ADDRESS}{number}:8080", "--cluster", "one", "--pod", name]))
    services = [{"name": name, "namespace": "shop", "host": f"{name}.shop.svc.cluster.local", "ports": [8080],
                 "selector": {"app": name}} for name in ("blue", "green")]
    cluster = Cluster(server, "one", ADDRESS + "2", workloads, services)
    for begin in range(0, routes, PER_OBJECT):
        names = range(begin, min(begin + PER_OBJECT, routes))
        server.create(GROUP, "gateways", f"many-{begin}", spec([http_server(f"s{i}", f"h{i}.example.com", "blue") for i in names]))
    gateway = server.create(GROUP, "gateways", "entry", spec([http_server("entry", HOST, "blue")]))
    prober = Prober(GATEWAY, HOST)
    wait_until("the first answer", 60, lambda: b'"blue"' in prober.get()[1])
    if routes:
        last = f"h{routes - 1}.example.com"
        wait_until("the last route", 120, lambda: prober.get(host=last)[0] == 200)
        time.sleep(2)  # Files are written, nothing is under way.
    server.await_ready()
    return server, cluster, gateway, prober


def switch(server, gateway, prober, number, limit=30):
    """Write `number` of a series: the host goes to the other service. (the object, ms until it did, bad answers)"""
    name = "green" if number % 2 == 0 else "blue"
    gateway["spec"] = spec([http_server("entry", HOST, name)])
    gateway, accepted = server.update(f"{GROUP}/gateways/entry", gateway)
    bad = 0
    while True:
        status, body, _ = prober.get()
        now = time.monotonic()
        bad += status != 200
        if f'"{name}"'.encode() in body:
            return gateway, (now - accepted) * 1000, bad
        if now - accepted > limit:
            raise RuntimeError(f"write {number} had no effect within {limit} s")


def measure(routes, writes=WRITES, pause=0.15):
    """Milliseconds of each write, `pause` seconds after the one before, and how many answers in all were not 200."""
    server, cluster, gateway, prober = start(routes)
    try:
        out = os.path.join(OUT, "effective.load")
        # Requests all the time from somebody else, so that a gap in between would be seen.
        load = subprocess.Popen(["taskset", "-c", str(LOAD_CPU), os.path.join(BIN, "weir-bench-openload"), "200",
                                 str(writes * (pause + 0.05) + 2), HOST, "8", out, GATEWAY])
        times, bad = [], 0
        for number in range(writes):
            gateway, took, failed = switch(server, gateway, prober, number)
            times.append(took)
            bad += failed
            time.sleep(max(0.0, pause - took / 1000))
        load.wait()
        server.await_ready(seconds=10)  # Still.
        with open(out, encoding="ascii") as file:
            bad += sum(line.split()[2] != "200" for line in file)
        return times, bad
    finally:
        cluster.stop()
        server.process.kill()


def nginx_reload(routes=10000, rounds=5):
    """Milliseconds from the signal to the first answer of the new configuration, on a new connection."""
    folder, listen = fresh("nginx-reload"), f"127.0.0.1:{free_port()}"
    backends = {}
    processes = []
    for number, name in ((31, "blue"), (32, "green")):
        backends[name] = f"{ADDRESS}{number}:8080"
        processes.append(Process(f"reload-{name}", [os.path.join(BIN, "weir-demo-app"), "--listen", backends[name],
                                                    "--cluster", "one", "--pod", name]).wait_port(backends[name]))

    def write(name):
        servers = "\n".join(
            f"server {{ listen {listen}; server_name h{i}.example.com; location / {{ proxy_pass http://blue; }} }}"
            for i in range(routes))
        template("nginx-reload.conf", folder, DIR=folder, LISTEN=listen, BLUE=backends["blue"], GREEN=backends["green"],
                 CHOICE=name, SERVERS=servers)

    times = []
    try:
        write("blue")
        nginx = Process("nginx-reload", ["nginx", "-p", folder, "-c", f"{folder}/nginx-reload.conf", "-e",
                                         f"{folder}/error.log"]).wait_port(listen, 60)
        processes.append(nginx)
        for number in range(rounds):
            name = "green" if number % 2 == 0 else "blue"
            write(name)
            begin = time.monotonic()
            with open(f"{folder}/nginx.pid", encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGHUP)
            wanted = f'"{name}"'.encode()
            while wanted not in Prober(listen, HOST).get()[1]:
                if time.monotonic() - begin > 60:
                    raise RuntimeError("the reload had no effect within 60 s")
            times.append((time.monotonic() - begin) * 1000)
            time.sleep(1)
        return times
    finally:
        for process in processes:
            process.kill()


def effective():
    anchor = nginx_reload()
    rows, medians = [], {}
    # The second: a fleet at rest, in which every program has been idle for longer than a second.
    for routes, writes, pause in ((0, WRITES, 0.15), (0, WRITES_AT_REST, 1.1), (10000, WRITES, 0.15)):
        times, bad = measure(routes, writes, pause)
        log(json.dumps({"routes": routes, "pause": pause, "ms": [round(t, 2) for t in times], "not 200": bad}))
        why = {"why": f"{bad} answers were not 200"} if bad else {}
        p50, p99 = median(times), percentile(times, 0.99)
        name = f"{routes} routes" + (f", writes {pause} s apart" if pause > 1 else "")
        if pause < 1:
            medians[routes] = p50
        rows.append(row("effective", p50, None, None, None, 10, len(times), "ms", measure=f"p50, {name}",
                        good=p50 <= 10 and not bad, **why))
        rows.append(row("effective", p99, None, None, None, 50, len(times), "ms", measure=f"p99, {name}",
                        good=p99 <= 50 and not bad, **why))
    # Flat: what 10,000 routes add is within the noise of a small machine.
    flat = medians[10000] / medians[0]
    rows.append(row("effective", medians[10000], medians[0], "ours with 0 routes", 1 / flat, 0.67, WRITES, "ms",
                    measure="p50, flat"))
    rows.append(row("effective", medians[10000], median(anchor), "nginx reload", median(anchor) / medians[10000], 10,
                    len(anchor), "ms", measure="p50, 10000 routes"))
    return rows


def received(process, address):
    """Bytes that the process got on its connections to `address`, TLS included."""
    lines = subprocess.run(["ss", "-HtinpO", "state", "established", "dst", address], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    counts = [int(re.search(r"\bbytes_received:(\d+)", line).group(1)) for line in lines
              if any(f"pid={pid}," in line for pid in process.pids())]
    if not counts:
        raise RuntimeError(f"{process.name} has no connection to {address}")
    return sum(counts)


class Hops:
    """What each hop carries downwards: to the agent, and from it to the gateway."""

    def __init__(self, server, cluster):
        gateway = next(w for w in cluster.workloads if w.name == "t2").processes[-1]
        self.ends = {"server to agent": (cluster.agent, server.agents), "agent to gateway": (gateway, cluster.agent_address)}
        self.idle = {hop: 0.0 for hop in self.ends}
        self.idle = self.of(lambda: time.sleep(5), per_second=True)

    def of(self, change, per_second=False):
        """Bytes of each hop while `change` happens and for a little after, without what flows anyway."""
        before, begin = {hop: received(*end) for hop, end in self.ends.items()}, time.monotonic()
        change()
        time.sleep(0.3)
        took = time.monotonic() - begin
        spent = {hop: received(*end) - before[hop] - self.idle[hop] * took for hop, end in self.ends.items()}
        return {hop: count / took for hop, count in spent.items()} if per_second else spent


def delta_bytes(rounds=5, limit=2048):
    rows = []
    for hosts in (10, 10000):
        server, cluster, gateway, prober = start(hosts)
        try:
            hops = Hops(server, cluster)
            found = {(kind, hop): [] for kind in ("add", "remove", "change") for hop in hops.ends}

            def answers(host, status):
                wait_until(f"{host} to answer {status}", 30, lambda: prober.get(host=host)[0] == status)

            for number in range(rounds):
                name, host = f"added-{number}", f"added-{number}.example.com"

                def add():
                    server.create(GROUP, "gateways", name, spec([http_server("added", host, "blue")]))
                    answers(host, 200)

                def remove():
                    server.remove(f"{GROUP}/gateways/{name}")
                    answers(host, 404)

                def change():
                    nonlocal gateway
                    gateway, _, _ = switch(server, gateway, prober, number)

                for kind, step in (("add", add), ("change", change), ("remove", remove)):
                    for hop, count in hops.of(step).items():
                        found[kind, hop].append(count)
                server.await_ready(seconds=10)
            for (kind, hop), counts in found.items():
                count = max(0, median(counts))
                rows.append(row("delta_bytes", count, None, None, None, limit, rounds, "bytes",
                                measure=f"{kind}, {hosts} hosts, {hop}", good=count <= limit))
        finally:
            cluster.stop()
            server.process.kill()
    return rows


def rss_in_a_fleet(routes=10000, updates=20):
    """RssAnon of a tier-2 gateway that has an agent, checks and reports health, and got `updates` changes."""
    server, cluster, gateway, prober = start(routes)
    try:
        for number in range(updates):
            gateway, took, _ = switch(server, gateway, prober, number)
            time.sleep(max(0.0, 0.15 - took / 1000))
        time.sleep(12)  # A whole report of health went up.
        server.await_ready(seconds=10)
        return next(w for w in cluster.workloads if w.name == "t2").processes[-1].memory()["RssAnon"]
    finally:
        cluster.stop()
        server.process.kill()
