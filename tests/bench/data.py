"""Rows of the data plane: CPU time per request."""
import json
import os
import subprocess

import peers
from common import BIN, LOAD_CPU, ROUNDS, Process, free_port, load_average, log, median, row, void


def split():
    out = subprocess.run([os.path.join(BIN, "weir-bench-split")], check=True, capture_output=True, text=True).stdout
    rows = []
    for line in out.splitlines():
        result = json.loads(line)
        rows.append(row("split", result["worst"], None, None, None, 1.0, result["sets"], "requests off",
                        measure=f"{result['clusters']} clusters", good=result["worst"] < 1.0))
    return rows


def backend(size):
    address = f"127.0.0.1:{free_port()}"
    return Process("backend", [os.path.join(BIN, "weir-bench-backend"), address, str(size)],
                   cpu=LOAD_CPU).wait_port(address), address


def load(address, seconds=1.0, connections=64, headers=False, certificates=None):
    command = ["taskset", "-c", str(LOAD_CPU), os.path.join(BIN, "weir-bench-loadgen"), address, peers.HOST,
               str(connections), str(seconds)] + (["headers"] if headers else [])
    if certificates:
        command += [certificates.client, certificates.client_key]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"load on {address}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def cost(contender, address, **options):
    """CPU microseconds per request of one run."""
    before = contender.cpu_ns()
    result = load(address, **options)
    spent = contender.cpu_ns() - before
    if result["errors"] or result["done"] < 1000:
        raise RuntimeError(f"{contender.name}: {result['errors']} errors, {result['done']} requests: the run is void")
    return spent / result["done"] / 1000


def in_turn(contenders, **options):
    """Costs of each contender over rounds in turn (A B C, C B A, …), and the noise: the same one twice."""
    for process, address in contenders.values():
        load(address, seconds=0.5, **options)  # Warm: pools filled, pages touched.
    names = list(contenders)
    again = contenders[names[-1] if len(names) < 3 else "nginx"]
    noise = median([cost(*again, **options) / cost(*again, **options) for _ in range(ROUNDS)])
    samples = {name: [] for name in names}
    for number in range(ROUNDS):
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(cost(*contenders[name], **options))
    log(json.dumps({name: [round(value, 2) for value in values] for name, values in samples.items()}))
    return samples, noise


def judge(metric, goal, ours, peer, peer_name, noise):
    ratio = median([p / o for p, o in zip(peer, ours)])
    made = row(metric, median(ours), median(peer), peer_name, ratio, goal, len(ours), "us CPU/request", noise=noise,
               load=load_average())
    if not 0.93 <= noise <= 1.07 and 0.9 * goal < ratio < 1.1 * goal:
        made["pass"], made["why"] = None, f"A/A ratio {noise:.3f}: too noisy for a verdict so near the goal"
    return made


def compare(metric, size, goals, **options):
    certificates = options.get("certificates")
    process, address = backend(size)
    processes = [process]
    try:
        contenders = {}
        for name, start in (("weir", peers.weir), ("nginx", peers.nginx), ("haproxy", peers.haproxy), ("envoy", peers.envoy)):
            made = start(name, address, certificates=certificates)
            if made:
                contenders[name] = made
                processes.append(made[0])
        samples, noise = in_turn(contenders, **options)
        rows = []
        for name, goal in goals.items():
            if name in samples:
                rows.append(judge(metric, goal, samples["weir"], samples[name], name, noise))
            else:
                rows.append(void(metric, f"{name} is not to be had here", goal, peer_name=name))
        return rows
    finally:
        for process in processes:
            process.stop()


def h1_1k():
    return compare("h1_1k", 1024, {"nginx": 1.1, "haproxy": 1.1, "envoy": 3.0})


def h1_12hdr():
    return compare("h1_12hdr", 1024, {"nginx": 1.3, "haproxy": 1.1, "envoy": 3.0}, headers=True)


def h1_64k():
    return compare("h1_64k", 65536, {"nginx": 1.25, "haproxy": 1.25, "envoy": 2.5})


def tls_1k():
    return compare("tls_1k", 1024, {"nginx": 1.1, "haproxy": 1.1, "envoy": 2.4}, certificates=peers.Certificates())


def tls_64k():
    return compare("tls_64k", 65536, {"nginx": 1.1, "haproxy": 1.1, "envoy": 2.4}, certificates=peers.Certificates())


def routes_10k():
    process, address = backend(1024)
    processes = [process]
    try:
        contenders = {"10000": peers.weir("weir-10k", address, routes=10000), "1": peers.weir("weir", address)}
        processes += [each for each, _ in contenders.values()]
        samples, noise = in_turn(contenders)
        return [judge("routes_10k", 0.95, samples["10000"], samples["1"], "ours with 1 route", noise)]
    finally:
        for process in processes:
            process.stop()
