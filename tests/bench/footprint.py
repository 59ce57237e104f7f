"""Rows of the data plane: memory, and the time from start to the first answer."""
import resource
import socket
import time

import effective
import peers
from common import PROXY_CPU, Process, log, median, row
from data import backend, load

MIB = 1024 * 1024
START_ROUNDS = 7
REQUEST = f"GET / HTTP/1.1\r\nHost: {peers.HOST}\r\n\r\n".encode()


def ask(address, timeout=2.0):
    """A new connection with one answered request on it; None when that cannot be had."""
    host, port = address.rsplit(":", 1)
    connection = None
    try:
        connection = socket.create_connection((host, int(port)), timeout)
        connection.sendall(REQUEST)
        data = connection.recv(65536)
        if data.startswith(b"HTTP/1.1 200"):
            return connection
    except OSError:
        pass
    if connection is not None:
        connection.close()
    return None


def rss(metric, routes, anon_goal, rss_goal):
    """After a second of load, so that what a request needs is there."""
    process, address = backend(1024)
    processes = [process]
    try:
        memory = {}
        for name, start in (("weir", peers.weir), ("nginx", peers.nginx)):
            contender, where = start(f"{name}-rss", address, routes=routes)
            processes.append(contender)
            load(where, seconds=1)
            time.sleep(1)
            memory[name] = contender.memory()
        ours, theirs = memory["weir"], memory["nginx"]
        anon, whole = ours["RssAnon"] / MIB, ours["VmRSS"] / MIB
        rows = [row(metric, anon, theirs["RssAnon"] / MIB, "nginx", theirs["RssAnon"] / ours["RssAnon"], anon_goal, 1, "MiB",
                    measure="RssAnon", good=anon <= anon_goal),
                row(metric, whole, theirs["VmRSS"] / MIB, "nginx", theirs["VmRSS"] / ours["VmRSS"], rss_goal, 1, "MiB",
                    measure="VmRSS", good=whole <= rss_goal)]
        if whole > rss_goal:
            rows[1]["why"] = "the gateways still carry libgrpc; the goal is for when they do not"
        if routes > 1:
            rows.append(row(metric, anon, theirs["RssAnon"] / MIB, "nginx", theirs["RssAnon"] / ours["RssAnon"], 10, 1, "MiB",
                            measure="RssAnon, at most 0.1x nginx"))
        return rows
    finally:
        for process in processes:
            process.stop()


def rss_base():
    return rss("rss_base", 1, 8, 12)


def rss_10k():
    rows = rss("rss_10k", 10000, 24, 32)
    fleet = effective.rss_in_a_fleet() / MIB
    return rows + [row("rss_10k", fleet, None, None, None, 24, 1, "MiB", measure="RssAnon, tier 2 of a fleet after 20 changes",
                       good=fleet <= 24)]


def idle_conn():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, int(hard * 0.45) - 500)
    process, address = backend(1024)
    processes = [process]
    try:
        per = {}
        for name, start in (("weir", peers.weir), ("haproxy", lambda n, b: peers.haproxy(n, b, most=count + 500))):
            contender, where = start(f"{name}-idle", address)
            processes.append(contender)
            load(where, seconds=1)
            time.sleep(1)
            before = contender.memory()["RssAnon"]
            kept = [ask(where) for _ in range(count)]
            if None in kept:
                raise RuntimeError(f"{name}: {kept.count(None)} of {count} connections were not answered")
            time.sleep(1)
            per[name] = (contender.memory()["RssAnon"] - before) / count
            for connection in kept:
                connection.close()
        ratio = per["haproxy"] / per["weir"]
        return [row("idle_conn", per["weir"] / 1024, per["haproxy"] / 1024, "haproxy", ratio, 1.0, 1, "KiB/connection",
                    measure=f"{count} connections"),
                row("idle_conn", per["weir"] / 1024, None, None, None, 1.2, 1, "KiB/connection", measure="at most",
                    good=per["weir"] / 1024 <= 1.2)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for process in processes:
            process.stop()


def first_answer(name, command, address):
    """Milliseconds from the start of the process to its first 200."""
    begin = time.monotonic()
    process = Process(name, command, cpu=PROXY_CPU)
    try:
        while True:
            connection = ask(address, 5.0)
            now = time.monotonic()
            if connection is not None:
                connection.close()
                return (now - begin) * 1000
            if now - begin > 60 or process.process.poll() is not None:
                raise RuntimeError(f"{name} did not answer")
            time.sleep(0.0005)
    finally:
        process.kill()


def start_time(metric, routes, peer_name, goal):
    process, address = backend(1024)
    try:
        ours = peers.weir("weir-start", address, routes=routes, start=False)
        if peer_name == "haproxy":
            peer = peers.haproxy("haproxy-start", address, start=False)
        else:
            peer = peers.nginx("nginx-start", address, routes=routes, start=False)
        samples = {"weir": [], peer_name: []}
        for number in range(START_ROUNDS + 1):
            for name, contender in (("weir", ours), (peer_name, peer))[::1 if number % 2 == 0 else -1]:
                samples[name].append(first_answer(f"{name}-start", *contender))
        samples = {name: values[1:] for name, values in samples.items()}  # The first brought the files into memory.
        log(str(samples))
        ratio = median([p / o for p, o in zip(samples[peer_name], samples["weir"])])
        return [row(metric, median(samples["weir"]), median(samples[peer_name]), peer_name, ratio, goal, START_ROUNDS, "ms")]
    finally:
        process.stop()


def start_small():
    return start_time("start_small", 1, "haproxy", 1.0)


def start_10k():
    return start_time("start_10k", 10000, "nginx", 2.0)
