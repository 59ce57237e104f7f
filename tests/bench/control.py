"""Rows of the control plane."""
import json
import os
import re
import subprocess

from common import BIN, OUT, fail, median, row
from fleet import Server

ROUNDS = 5


def writes(server, clients, seconds):
    done = subprocess.run([os.path.join(BIN, "weir-bench-apiload"), "rest", server.rest, server.token, "organizations/bench",
                           str(clients), str(seconds)], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    if result["errors"]:
        fail(f"api_write: {result['errors']} errors: {done.stderr.strip()}")
    return result["done"] / result["seconds"], result["done"]


def floor(seconds):
    path = os.path.join(OUT, "floor.db")
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.remove(path + suffix)
    done = subprocess.run([os.path.join(BIN, "weir-bench-apiload"), "floor", path, str(seconds)], check=True,
                          capture_output=True, text=True)
    result = json.loads(done.stdout)
    return result["done"] / result["seconds"]


def syncs_per_write(server):
    """Counted by strace in a run of its own, which is not timed."""
    trace = os.path.join(OUT, "syncs.txt")
    tracer = subprocess.Popen(["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", trace,
                               "-p", str(server.process.process.pid)], stderr=subprocess.PIPE)
    try:
        tracer.stderr.readline()  # "Process N attached".
        _, done = writes(server, 64, 2)
    finally:
        tracer.terminate()
        tracer.wait()
    with open(trace, encoding="utf-8") as file:
        calls = sum(int(re.split(r"\s+", line.strip())[3]) for line in file if re.search(r"\bf(data)?sync$", line.strip()))
    return calls / done


def api_write():
    server = Server("api-server")
    try:
        writes(server, 1, 0.5)
        one, many, bare = [], [], []
        for _ in range(ROUNDS):
            bare.append(floor(1))
            one.append(writes(server, 1, 1)[0])
            many.append(writes(server, 64, 1)[0])
        ratio_one = median([o / b for o, b in zip(one, bare)])
        ratio_many = median([m / o for m, o in zip(many, one)])
        syncs = syncs_per_write(server)
        return [
            row("api_write", median(one), median(bare), "bare SQLite commit", ratio_one, 0.5, ROUNDS, "writes/s", measure="1 client"),
            row("api_write", median(many), median(one), "our one client", ratio_many, 3, ROUNDS, "writes/s", measure="64 clients"),
            row("api_write", syncs, None, None, None, 0.2, 1, "syncs per acknowledged write", measure="64 clients, syncs",
                good=syncs <= 0.2),
        ]
    finally:
        server.process.stop()
