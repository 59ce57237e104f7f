"""Row `plan`: what 1,000 documents would change where a gateway serves 10,000 hosts, answered over REST."""
import json
import time

from common import fail, log, median, row
from effective import ADDRESS, PER_OBJECT, http_server, spec
from fleet import GROUP, ORG, Cluster, Server, Workload, wait_until

HOSTS = 10000
DOCUMENTS = 1000
ROUNDS = 7


def document(number, service):
    host = http_server("s", f"one{number}.example.com", service)
    return json.dumps({"apiVersion": "gateway.weir.dev/v2", "kind": "Gateway",
                       "metadata": {"name": f"one-{number}", "organization": "bench", "tenant": "shop",
                                    "workspace": "shop", "group": "shop"}, "spec": spec([host])})


def documents(service):
    return "\n---\n".join(document(number, service) for number in range(DOCUMENTS)) + "\n"


def plan():
    server = Server("plan-server")
    cluster = None
    try:
        server.tenancy(["one/shop"])
        services = [{"name": name, "namespace": "shop", "host": f"{name}.shop.svc.cluster.local", "ports": [8080],
                     "selector": {"app": name}} for name in ("blue", "green")]
        workloads = [Workload("t2", "shop", ADDRESS + "10", None, {"app": "t2"})]
        workloads += [Workload(name, "shop", ADDRESS + last, None, {"app": name}) for name, last in
                      (("blue", "21"), ("green", "22"))]
        cluster = Cluster(server, "one", ADDRESS + "2", workloads, services)
        wait_until("the facts", 60, lambda: int(server.call("GET", f"/v2/{ORG}/clusters/one")["state"].get("workloads", 0)) == 3)
        for begin in range(0, HOSTS - DOCUMENTS, PER_OBJECT):
            names = range(begin, begin + PER_OBJECT)
            server.create(GROUP, "gateways", f"many-{begin}",
                          spec([http_server(f"s{i}", f"h{i}.example.com", "blue") for i in names]))
        server.call("POST", "/v2/documents:apply", {"documents": documents("blue")})
        asked = {"documents": documents("green")}
        times = []
        for _ in range(ROUNDS):
            begin = time.monotonic()
            answer = server.call("POST", "/v2/documents:plan", asked)
            times.append(time.monotonic() - begin)
            changed = answer["clusters"][0]
            if changed["changed"] != DOCUMENTS or changed["gateways"][0]["changed"] < DOCUMENTS:
                fail(f"plan: {changed['changed']} of intent, {changed['gateways'][0].get('changed')} of Envoy")
        log(json.dumps({"plan s": [round(t, 3) for t in times]}))
        worst = max(times)
        return [row("plan", median(times), None, None, None, 2, ROUNDS, "s", measure="median", good=median(times) <= 2),
                row("plan", worst, None, None, None, 2, ROUNDS, "s", measure="worst", good=worst <= 2)]
    finally:
        if cluster is not None:
            cluster.stop()
        server.process.stop()
