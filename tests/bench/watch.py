"""Row `watch`: 1,000 watchers, of which 100 take nothing; when the last of the others was told of a write that was answered."""
import json
import os
import subprocess
import time

from common import BIN, OUT, fail, log, percentile, row
from fleet import ORG, Server

WATCHERS, SLOW, USERS = 1000, 100, 10
WRITES, EVERY = 600, 0.05  # Slow ones are cut when they are 256 behind and the sockets are full.
MIB = 1024 * 1024


def sign_in(server, number):
    name, password = f"watcher{number}", "a long enough password"
    server.create(ORG, "users", name, {})
    server.call("POST", f"/v2/{ORG}/users/{name}:setPassword", {"password": password})
    server.call("POST", f"/v2/{ORG}/accessbindings:grant", {"role": "reader", "subject": {"user": f"{ORG}/users/{name}"}})
    return server.call("POST", "/v2/login", {"organization": "bench", "user": name, "password": password})["token"]


def write(server, fqn, number):
    """When it was answered."""
    tenant = server.call("GET", f"/v2/{fqn}")
    tenant["metadata"]["description"] = f"{number} " + 400 * "x"
    return server.update(fqn, tenant)[1]


def watch():
    server = Server("watch-server")
    crowd = None
    try:
        server.create(ORG, "tenants", "t", {})
        tokens = os.path.join(OUT, "watch-tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("\n".join(sign_in(server, number) for number in range(USERS)) + "\n")
        before = server.process.memory()["RssAnon"]
        crowd = subprocess.Popen([os.path.join(BIN, "weir-bench-watchload"), server.rest, tokens,
                                  "/v2/watch?kinds=Tenant&initial=true", str(WATCHERS), str(SLOW)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if json.loads(crowd.stdout.readline() or "{}").get("ready") is not True:
            fail("watch: not every watcher was told what is there")
        opened = server.process.memory()["RssAnon"]
        cpu, answered = server.process.cpu_ns(), []
        for number in range(WRITES):
            due = time.monotonic() + EVERY
            answered.append(write(server, f"{ORG}/tenants/t", number))
            time.sleep(max(0, due - time.monotonic()))
        cpu, most = server.process.cpu_ns() - cpu, server.process.memory()["RssAnon"]
        time.sleep(20)  # A connection that takes nothing has 30 s.
        crowd.stdin.close()
        result = json.loads(crowd.stdout.readline())
        told = [result["told"][revision] for revision in sorted(result["told"], key=int)]
        if result["errors"] or len(told) != WRITES or any(one[0] != WATCHERS - SLOW for one in told):
            fail(f"watch: {result['errors']} ended, {len(told)} of {WRITES} told, "
                 f"the fewest to {min((one[0] for one in told), default=0)}")
        late = [(one[1] - when) * 1000 for one, when in zip(told, answered)]
        log(json.dumps({"slow ones cut": result["slow"], "CPU us/event": round(cpu / 1000 / WRITES / (WATCHERS - SLOW), 2)}))
        p99, each = percentile(late, 0.99), (most - before) / WATCHERS / 1024
        return [row("watch", p99, None, None, None, None, WRITES, "ms", measure="p99 until the last of 900 is told"),
                row("watch", each, None, None, None, None, WATCHERS, "KiB", measure="memory a watcher, 100 of 1,000 slow"),
                row("watch", (most - opened) / MIB, None, None, None, 64, 1, "MiB", measure="what 100 slow ones add in 600 writes",
                    good=most - opened <= 64 * MIB),
                row("watch", result["slow"], None, None, None, SLOW, 1, "watchers", measure="slow ones cut, of 100",
                    good=result["slow"] == SLOW)]
    finally:
        if crowd is not None:
            crowd.kill()
            crowd.wait()
        server.process.stop()
