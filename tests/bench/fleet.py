"""A whole Weir of real processes for the rows that need one, on loopback addresses of the bench's own (127.40.x.x)."""
import http.client
import json
import os
import shutil
import socket
import ssl
import time

from common import BIN, OUT, Process, fail, free_port

ORG = "organizations/bench"
GROUP = f"{ORG}/tenants/shop/workspaces/shop/gatewaygroups/shop"
T1_PORT, T2_PORT, MESH, AGENT, PROBES, ADMIN = 18080, 18080, 15443, 15012, 15021, 15000


class Server:
    """A fresh weir-server in a folder of its own, and one kept connection to its REST door."""

    def __init__(self, name, flags=()):
        self.name, self.flags = name, list(flags)
        self.folder = os.path.join(OUT, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        self.ports = [free_port() for _ in range(3)]
        self.rest, self.agents = f"127.0.0.1:{self.ports[0]}", f"127.0.0.1:{self.ports[2]}"
        self.connection = self.token = None
        self.start()
        with open(os.path.join(self.folder, "admin-password"), encoding="utf-8") as file:
            password = file.read().strip()
        self.token = self.call("POST", "/v2/login",
                               {"organization": "bench", "user": "admin", "password": password})["token"]

    def start(self):
        self.process = Process(self.name, [
            os.path.join(BIN, "weir-server"), "--state-dir", self.folder, "--address", "127.0.0.1", "--rest-port",
            str(self.ports[0]), "--grpc-port", str(self.ports[1]), "--agent-port", str(self.ports[2]),
            "--organization", "bench"] + self.flags).wait_port(self.rest).wait_port(self.agents)

    def call(self, method, path, body=None):
        """One call; (answer, seconds of CLOCK_MONOTONIC when it was whole) when asked for by `timed`."""
        return self.timed(method, path, body)[0]

    def timed(self, method, path, body=None):
        if self.connection is None:
            context = ssl.create_default_context(cafile=os.path.join(self.folder, "server-anchor.pem"))
            self.connection = http.client.HTTPSConnection(self.rest, context=context, timeout=60)
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        data = answer.read()
        now = time.monotonic()
        if answer.status != 200:
            fail(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data or b"{}"), now

    def create(self, parent, collection, name, spec):
        return self.call("POST", f"/v2/{parent}/{collection}", {"metadata": {"name": name}, "spec": spec})

    def update(self, fqn, resource):
        """Writes a resource that was read; the new one, and when it was accepted."""
        return self.timed("PUT", f"/v2/{fqn}", {"metadata": resource["metadata"], "spec": resource["spec"]})

    def remove(self, fqn):
        return self.call("DELETE", f"/v2/{fqn}")

    def await_ready(self, parent=ORG, seconds=120):
        """Every gateway object under `parent` is served by all gateways that it concerns. A row that measures while one
        is not measures something else."""
        unready = {}

        def look():
            unready.clear()
            for status in self.call("GET", f"/v2/{parent}/statuses").get("items", []):
                if "gateways/" in status["fqn"] and status.get("state") != "READY":
                    unready[status["fqn"]] = status
            return not unready

        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end:
                first = next(iter(unready.values()))
                fail(f"not READY after {seconds} s: {len(unready)} gateway objects, one of them {json.dumps(first)[:600]}")
            time.sleep(0.1)

    def tenancy(self, namespaces):
        self.create(ORG, "tenants", "shop", {})
        self.create(f"{ORG}/tenants/shop", "workspaces", "shop", {"namespaceSelector": {"names": namespaces}})
        self.create(f"{ORG}/tenants/shop/workspaces/shop", "gatewaygroups", "shop", {"configMode": "BRIDGED"})


class Workload:
    def __init__(self, name, namespace, address, program=None, labels=None, ports=None, account=None, app=None):
        self.name, self.namespace, self.address, self.program = name, namespace, address, program
        self.labels, self.ports, self.app = labels or {}, ports or {}, app
        self.account = account or namespace
        self.processes = []

    def document(self):
        return {"name": self.name, "namespace": self.namespace, "serviceAccount": self.account, "labels": self.labels,
                "addresses": [self.address], **({"ports": {str(k): v for k, v in self.ports.items()}} if self.ports else {})}


class Cluster:
    """An agent with its workloads. A workload with `app` (a command) has that process beside it."""

    def __init__(self, server, name, address, workloads, services=(), workers=1, flags=()):
        self.server, self.name, self.workloads, self.workers = server, name, workloads, workers
        self.folder = os.path.join(OUT, f"{server.name}-{name}")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        server.create(ORG, "clusters", name, {"tier1Cluster": name == "edge", "locality": {"region": "bench", "zone": name}})
        token = server.call("POST", f"/v2/{ORG}/clusters/{name}:createJoinToken", {})["token"]
        self._write("join-token", token)
        self._write("discovery.yaml", json.dumps({"workloads": [w.document() for w in workloads], "services": list(services)}))
        self.agent_command = [
            os.path.join(BIN, "weir-agent"), "--state-dir", self.folder, "--server", server.agents, "--join-token-file",
            f"{self.folder}/join-token", "--discovery-file", f"{self.folder}/discovery.yaml", "--listen",
            f"{address}:{AGENT}", "--workloads-dir", f"{self.folder}/workloads"] + list(flags)
        self.agent_address = f"{address}:{AGENT}"
        self.start_agent()
        for workload in workloads:
            self.start_workload(workload)

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(text)

    def start_agent(self):
        self.agent = Process(f"{self.server.name}-{self.name}-agent", self.agent_command).wait_port(self.agent_address)

    def config_of(self, workload):
        return f"{self.folder}/workloads/{workload.namespace}/{workload.name}/gateway.json"

    def start_workload(self, workload):
        end = time.monotonic() + 20
        while not os.path.exists(self.config_of(workload)):
            if time.monotonic() > end:
                fail(f"the agent of {self.name} wrote no {self.config_of(workload)}")
            time.sleep(0.02)
        name = f"{self.server.name}-{self.name}-{workload.name}"
        workload.processes = []
        if workload.app:
            workload.processes.append(Process(name + "-app", workload.app))
        if workload.program:
            workload.processes.append(Process(name, [os.path.join(BIN, workload.program), "--config",
                                                     self.config_of(workload), "--workers", str(self.workers)]))

    def processes(self):
        return [self.agent] + [p for w in self.workloads for p in w.processes]

    def stop(self):
        for process in reversed(self.processes()):
            process.kill()


class Prober:
    """One kept plain connection; what a GET is answered with."""

    def __init__(self, address, host):
        self.address, self.host = address, host
        self.connection = None

    def get(self, path="/", host=None):
        """(status, body, x-served-by); status 0 = no answer."""
        try:
            if self.connection is None:
                name, port = self.address.rsplit(":", 1)
                self.connection = http.client.HTTPConnection(name, int(port), timeout=5)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request("GET", path, headers={"Host": host or self.host})
            answer = self.connection.getresponse()
            return answer.status, answer.read(), answer.getheader("x-served-by")
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            return 0, b"", None


def wait_until(what, seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            fail(f"gave up after {seconds} s waiting for {what}")
        time.sleep(0.02)
