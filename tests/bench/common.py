"""What every bench row needs: processes that end with us, CPU time, rounds, the report's rows."""
import ctypes
import glob
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build/release/bin")
OUT = os.path.join(ROOT, "build/bench")
ROUNDS = 7
CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU, LOAD_CPU = CPUS[-1], CPUS[0]  # What is measured has a core of its own.
LIBC = ctypes.CDLL(None)


def log(text):
    print(text, flush=True)


def die_with_us():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """One contender or helper; all its children count and end with it."""

    def __init__(self, name, command, cpu=None, env=None):
        os.makedirs(OUT, exist_ok=True)
        self.name = name
        self.command = command if cpu is None else ["taskset", "-c", str(cpu)] + command
        self.env = env
        self.log_path = os.path.join(OUT, f"{name}.log")
        self.start("wb")

    def start(self, mode="ab"):
        with open(self.log_path, mode) as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, env=self.env, start_new_session=True,
                                            preexec_fn=die_with_us)

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for path in glob.glob(f"/proc/{pid}/task/*/children"):
                try:
                    with open(path, encoding="ascii") as file:
                        todo += [int(child) for child in file.read().split()]
                except OSError:
                    pass
        return found

    def cpu_ns(self):
        total = 0
        for pid in self.pids():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                try:
                    with open(path, encoding="ascii") as file:
                        total += int(file.read().split()[0])
                except OSError:
                    pass
        return total

    def memory(self):
        """Bytes {"VmRSS", "RssAnon"} over all its processes."""
        total = {"VmRSS": 0, "RssAnon": 0}
        for pid in self.pids():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key in total:
                        total[key] += int(value.split()[0]) * 1024
        return total

    def wait_port(self, address, seconds=20):
        host, port = address.rsplit(":", 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection((host, int(port)), 0.5).close()
                return self
            except OSError:
                time.sleep(0.01)
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            raise RuntimeError(f"{self.name} does not listen on {address}: {file.read()[-400:]}")

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def free_port(host="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def fresh(name):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def template(name, folder, **values):
    with open(os.path.join(ROOT, "tests/bench/peers", name + ".in"), encoding="utf-8") as file:
        text = file.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def row(metric, ours, peer, peer_name, ratio, goal, rounds, unit, measure="", good=None, **more):
    """One line of the report. Without `good` the ratio decides; without either the run is void and `why` says so."""
    if good is None and ratio is not None and goal is not None:
        good = ratio >= goal
    made = {"metric": metric, "measure": measure, "ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio,
            "goal": goal, "pass": good, "rounds": rounds, "unit": unit}
    made.update(more)
    return made


def void(metric, why, goal=None, measure="", peer_name=None, unit=""):
    return row(metric, None, None, peer_name, None, goal, 0, unit, measure=measure, why=f"void: {why}")


def median(values):
    return statistics.median(values)


def percentile(values, q):
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def load_average():
    with open("/proc/loadavg", encoding="ascii") as file:
        return float(file.read().split()[0])


def fail(text):
    raise RuntimeError(text)
