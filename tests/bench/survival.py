"""Rows of survival: a cluster killed or frozen under load, gateways replaced under load, the server gone.

One edge gateway (tier 1) spreads 75/25 over two clusters of a tier-2 gateway and two pods each. The peers stand as a
front with the same weights before two proxies of their own kind per cluster, one as its gateway and one beside its
app, with mutual TLS between them as ours have. Load: an open loop of 1,000 requests/s, half of them on kept connections,
half each on a new one."""
import json
import os
import signal
import subprocess
import time

from common import BIN, LOAD_CPU, OUT, Process, fresh, log, median, percentile, row, template, void
from fleet import GROUP, T1_PORT, T2_PORT, Cluster, Prober, Server, Workload, wait_until
from peers import HOST, Certificates, read, write

NET = "127.41."
RATE = 1000
REPEATS = 20
PEER_REPEATS = {"haproxy": 20, "nginx": 5}
BEFORE, AFTER = 1.0, 5.0  # Seconds of load around the event.
SLOW_MS = 250
HOLD = 2  # Shorter than it would be: a cluster that is back waits for nothing that is measured here.


class Weir:
    """Server, edge with one tier-1 gateway, two clusters; `event` and `back` work on cluster one."""

    name = "weir"

    def __init__(self, flags=(), agent_flags=()):
        self.server = Server("survival", flags)
        self.server.tenancy(["edge/t1", "one/shop", "two/shop"])
        app = os.path.join(BIN, "weir-demo-app")
        t1 = Workload("t1", "t1", f"{NET}1.10", "weir-tier1", {"app": "t1"}, {80: T1_PORT})
        self.front = f"{NET}1.10:{T1_PORT}"
        self.edge = Cluster(self.server, "edge", f"{NET}1.2", [t1], flags=agent_flags)
        self.clusters = {}
        for number, name in ((2, "one"), (3, "two")):
            net = f"{NET}{number}."
            pods = [Workload(f"pod-{i}", "shop", f"{net}{20 + i}", "weir-podproxy", {"app": "a"}, account="a",
                             app=[app, "--listen", f"{net}{20 + i}:8080", "--cluster", name, "--pod", f"pod-{i}"])
                    for i in (1, 2)]
            workloads = [Workload("t2", "shop", net + "10", "weir-tier2", {"app": "t2"}, {80: T2_PORT})] + pods
            services = [{"name": "a", "namespace": "shop", "host": "a.shop.svc.cluster.local", "ports": [8080],
                         "selector": {"app": "a"}}]
            self.clusters[name] = Cluster(self.server, name, net + "2", workloads, services, flags=agent_flags)
        rules = [{"route": {"serviceDestination": {"host": "shop/a.shop.svc.cluster.local", "port": 8080}}}]
        self.server.create(GROUP, "gateways", "entry", {
            "workloadSelector": {"namespace": "shop", "labels": {"app": "t2"}},
            "http": [{"name": "a", "hostname": HOST, "port": 80, "routing": {"rules": rules}}]})
        self.server.create(GROUP, "tier1gateways", "edge", {
            "workloadSelector": {"namespace": "t1", "labels": {"app": "t1"}},
            "externalServers": [{"name": "a", "hostname": HOST, "port": 80, "tls": {}, "clusters": [
                {"name": "one", "weight": 75}, {"name": "two", "weight": 25}]}]})
        self.await_both(60)
        self.server.await_ready()

    def await_both(self, seconds=40):
        prober = Prober(self.front, HOST)
        wait_until("both clusters to serve", seconds, lambda: {prober.get()[2] for _ in range(40)} == {"one", "two"})

    def event(self, number):
        for process in self.clusters["one"].processes():
            process.signal(number)

    def back(self, number):
        cluster = self.clusters["one"]
        if number == signal.SIGSTOP:
            self.event(signal.SIGCONT)
            return
        for process in cluster.processes():
            process.process.wait()
            process.start()

    def stop(self):
        for cluster in (*self.clusters.values(), self.edge):
            cluster.stop()
        self.server.process.kill()


class Peer:
    """A front, and per cluster a gateway, a proxy beside the app, and the app."""

    def __init__(self, name, net, made):
        self.name, self.front = name, f"{NET}{net}.1:8080"
        pair = {"server": (made.server, made.server_key), "client": (made.client, made.client_key)}
        self.tls = {"ROOT": made.root}
        if name == "haproxy":
            for who, files in pair.items():
                self.tls[who.upper()] = made.path(f"{who}-both.pem")
                write(self.tls[who.upper()], "".join(read(file) for file in files))
            next_tls = f"ssl crt {self.tls['CLIENT']} ca-file {made.root} verify required sni str({HOST}) check-sni {HOST}"
        else:
            self.tls |= {"SERVER": made.server, "KEY": made.server_key}
            next_tls = (f"proxy_ssl_certificate {made.client}; proxy_ssl_certificate_key {made.client_key}; "
                        f"proxy_ssl_trusted_certificate {made.root}; proxy_ssl_verify on; proxy_ssl_server_name on; "
                        f"proxy_ssl_name {HOST};")
        app = os.path.join(BIN, "weir-demo-app")
        entries = {}
        self.clusters = {}
        for number, cluster in ((2, "one"), (3, "two")):
            backend, beside, entry = (f"{NET}{net}.{number}{last}:8080" for last in (1, 2, 0))
            entries[cluster] = entry
            self.clusters[cluster] = [
                Process(f"{name}-{cluster}-app", [app, "--listen", backend, "--cluster", cluster, "--pod", "pod"]).wait_port(backend),
                self.proxy(f"{name}-{cluster}-pod", "entry", LISTEN=beside, BACKEND=backend, NEXT="", PROTO="http").wait_port(beside),
                self.proxy(f"{name}-{cluster}", "entry", LISTEN=entry, BACKEND=beside, NEXT=next_tls, PROTO="https").wait_port(entry)]
        self.edge = self.proxy(f"{name}-front", "front", LISTEN=self.front, NEXT=next_tls, ONE=entries["one"],
                               TWO=entries["two"]).wait_port(self.front)

    def proxy(self, name, part, **values):
        folder = fresh(name)
        config = template(f"{self.name}-{part}.{'cfg' if self.name == 'haproxy' else 'conf'}", folder, DIR=folder, **self.tls, **values)
        if self.name == "haproxy":
            return Process(name, ["haproxy", "-db", "-f", config])
        return Process(name, ["nginx", "-p", folder, "-c", config, "-e", f"{folder}/error.log"])

    def await_both(self, seconds=20):
        prober = Prober(self.front, HOST)
        wait_until("both clusters to serve", seconds, lambda: {prober.get()[2] for _ in range(20)} == {"one", "two"})

    def event(self, number):
        for process in self.clusters["one"]:
            process.signal(number)

    def back(self, number):
        if number == signal.SIGSTOP:
            self.event(signal.SIGCONT)
            return
        for process in self.clusters["one"]:
            process.process.wait()
            process.start()

    def stop(self):
        for process in [self.edge, *self.clusters["one"], *self.clusters["two"]]:
            process.kill()


class Load:
    """Half on kept connections, half on new ones; every answer with its time."""

    def __init__(self, name, address, seconds, rate=RATE):
        self.files = [os.path.join(OUT, f"{name}-{kind}.load") for kind in ("kept", "new")]
        self.running = [subprocess.Popen(["taskset", "-c", str(LOAD_CPU), os.path.join(BIN, "weir-bench-openload"), str(rate / 2),
                                          str(seconds), HOST, kind, file, address])
                        for kind, file in zip(("64", "new"), self.files)]

    def answers(self):
        """[(due, answered, milliseconds, status)], seconds of CLOCK_MONOTONIC."""
        found = []
        for process, path in zip(self.running, self.files):
            process.wait()
            with open(path, encoding="ascii") as file:
                for line in file:
                    due, took, status, _ = line.split(" ", 3)
                    found.append((int(due) / 1e6, (int(due) + int(took)) / 1e6, int(took) / 1000, int(status)))
        return found


def once(fleet, number):
    """One event under load: what its callers saw."""
    load = Load(fleet.name, fleet.front, BEFORE + AFTER)
    time.sleep(BEFORE)
    moment = time.monotonic()
    fleet.event(number)
    answers = load.answers()
    fleet.back(number)
    after = [a for a in answers if a[0] >= moment]
    slow = [answered for due, answered, took, _ in after if took > SLOW_MS]
    return {"requests": len(answers), "failed": sum(a[3] != 200 for a in answers),
            "p99_ms": percentile([a[2] for a in after], 0.99), "worst_ms": max(a[2] for a in after),
            "last_slow_s": max(slow) - moment if slow else 0.0}


def losses(metric, number):
    certificates = Certificates()
    fleets = [Weir(agent_flags=["--minimum-hold", f"{HOLD}s", "--slow-return", "1s"]), Peer("haproxy", 10, certificates), Peer("nginx", 20, certificates)]
    seen = {fleet.name: [] for fleet in fleets}
    free_at = {fleet.name: 0.0 for fleet in fleets}
    try:
        for repeat in range(REPEATS):
            for fleet in fleets:
                if repeat >= PEER_REPEATS.get(fleet.name, REPEATS):
                    continue
                time.sleep(max(0.0, free_at[fleet.name] - time.monotonic()))
                result = once(fleet, number)
                seen[fleet.name].append(result)
                log(json.dumps({"row": metric, "repeat": repeat, "who": fleet.name, **result}))
                fleet.await_both()
                if fleet.name == "weir":
                    free_at["weir"] = time.monotonic() + HOLD + 1  # The slow return ends; the peers' turn meanwhile.
    finally:
        for fleet in fleets:
            fleet.stop()
    ours = seen["weir"]
    failed = sum(each["failed"] for each in ours)
    slowest = max(each["last_slow_s"] for each in ours)
    rows = [row(metric, failed, sum(e["failed"] for e in seen["haproxy"]), "haproxy", None, 0, len(ours), "failed requests",
                measure=f"failed of {sum(e['requests'] for e in ours)}", good=failed == 0),
            row(metric, slowest, max(e["last_slow_s"] for e in seen["haproxy"]), "haproxy", None, 3, len(ours), "s",
                measure=f"last response slower than {SLOW_MS} ms, worst case", good=slowest <= 3)]
    for name, goal in (("haproxy", 1 / 1.2), ("nginx", None)):
        theirs = [each["p99_ms"] for each in seen[name]]
        ratio = median([t / o["p99_ms"] for t, o in zip(theirs, ours)])
        rows.append(row(metric, median([o["p99_ms"] for o in ours]), median(theirs), name, ratio, goal, len(theirs), "ms",
                        measure="p99 of the 5 s after", good=ratio >= goal if goal else None,
                        **({} if goal else {"why": "for comparison only"})))
    rows.append(row(metric, failed, sum(e["failed"] for e in seen["nginx"]), "nginx", None, 0, len(seen["nginx"]), "failed requests",
                    measure="failed", good=failed == 0))
    return rows


def kill():
    return losses("kill", signal.SIGKILL)


def freeze():
    return losses("freeze", signal.SIGSTOP)


def upgrade():
    """Each gateway replaced by its successor, ten times, under load."""
    fleet = Weir()
    try:
        time.sleep(2)
        rounds = 10
        load = Load("upgrade", fleet.front, rounds * 4 + 2)
        time.sleep(1)
        for _ in range(rounds):
            for cluster, workload in ((fleet.edge, fleet.edge.workloads[0]), (fleet.clusters["one"], fleet.clusters["one"].workloads[0])):
                old = workload.processes[-1]
                new = Process(f"{old.name}-next", old.command + ([] if "--take-over" in old.command else ["--take-over"]))
                workload.processes[-1] = new
                old.process.wait(20)
                new.name = old.name
                time.sleep(1)
        answers = load.answers()
        failed = sum(a[3] != 200 for a in answers)
        resets = sum(a[3] == 1 for a in answers)
        return [row("upgrade", failed, None, None, None, 0, rounds * 2, "failed requests", measure=f"of {len(answers)}", good=failed == 0),
                row("upgrade", resets, None, None, None, 0, rounds * 2, "resets", good=resets == 0)]
    finally:
        fleet.stop()


def server_gone(minutes=30):
    """The server is killed for half an hour while leaves live a minute: all goes on, failover too, and all restarts."""
    fleet = Weir(agent_flags=["--leaf-lifetime", "60s"])
    try:
        time.sleep(2)
        fleet.server.process.kill()
        load = Load("server_gone", fleet.front, minutes * 60, rate=200)
        begin = time.monotonic()
        spans = []  # Of what we kill ourselves.
        for minute in range(minutes):
            time.sleep(max(0.0, begin + minute * 60 + 20 - time.monotonic()))
            if minute % 5 == 2:  # A cluster dies and comes back, its agent and gateways from last-good.
                spans.append(time.monotonic())
                fleet.event(signal.SIGKILL)
                time.sleep(5)
                fleet.back(signal.SIGKILL)
            elif minute % 5 == 4:
                fleet.edge.agent.kill()
                fleet.edge.agent.start()
        answers = load.answers()
        failed = sum(a[3] != 200 for a in answers)
        fleet.await_both()
        return [row("server_gone", failed, None, None, None, 0, 1, "failed requests",
                    measure=f"of {len(answers)} in {minutes} min, {len(spans)} cluster losses", good=failed == 0)]
    except RuntimeError as error:
        return [void("server_gone", error)]
    finally:
        fleet.stop()
