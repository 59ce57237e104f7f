"""Row `restore`: a state of 100 clusters and 10,000 hosts is backed up while the server runs, verified and restored; and a
tenant of all these hosts is deleted and brought back by one call."""
import os
import shutil
import subprocess
import time

from common import BIN, OUT, fail, row
from effective import PER_OBJECT, http_server, spec
from fleet import GROUP, ORG, Server

CLUSTERS, HOSTS, LIMIT = 100, 10_000, 300


def verb(*arguments):
    begin = time.monotonic()
    done = subprocess.run([os.path.join(BIN, "weir-server"), *arguments], capture_output=True, text=True)
    if done.returncode:
        fail(f"weir-server {arguments[0]}: {done.stderr.strip()}")
    return time.monotonic() - begin


def fill(server):
    server.tenancy(["*/shop"])
    for i in range(CLUSTERS):
        server.create(ORG, "clusters", f"c{i}", {})
    for begin in range(0, HOSTS, PER_OBJECT):
        names = range(begin, begin + PER_OBJECT)
        server.create(GROUP, "gateways", f"many-{begin}",
                      spec([http_server(f"s{i}", f"h{i}.example.com", "blue") for i in names]))


def restore():
    server = Server("restore-server")
    backup, folder = os.path.join(OUT, "restore.backup"), os.path.join(OUT, "restored-server")
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists(backup):
        os.remove(backup)
    try:
        fill(server)
        newest = int(server.call("GET", "/v2/revisions?pageSize=1")["items"][0]["number"])
        made = verb("backup", backup, "--state-dir", server.folder)
        verified = verb("verify", backup)
        back = verb("restore", backup, "--state-dir", folder)
        tenant = GROUP.split("/workspaces/", maxsplit=1)[0]
        server.remove(f"{tenant}?cascade=true")
        begin = time.monotonic()
        answer = server.call("POST", f"/v2/{tenant}:restore", {"toRevision": newest, "subtree": True})
        by_call = time.monotonic() - begin
        if len(answer["items"]) != HOSTS // PER_OBJECT + 3:
            fail(f"restore: {len(answer['items'])} resources came back")
    finally:
        server.process.stop()
    whole = made + back
    return [row("restore", whole, None, None, None, LIMIT, 1, "s", measure="backup and restore, 10,000 hosts",
                good=whole <= LIMIT),
            row("restore", verified, None, None, None, LIMIT, 1, "s", measure="verify", good=verified <= LIMIT),
            row("restore", by_call, None, None, None, LIMIT, 1, "s", measure="a tenant by one call", good=by_call <= LIMIT)]
