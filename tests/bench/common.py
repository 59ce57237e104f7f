"""What every bench row needs: processes that end with us, CPU time, rounds, the report's rows."""
import glob
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build/release/bin")
OUT = os.path.join(ROOT, "build/bench")
ROUNDS = 7


def log(text):
    print(text, flush=True)


class Process:
    """One contender or helper; all its children count and end with it."""

    def __init__(self, name, command, cpu=None, env=None):
        os.makedirs(OUT, exist_ok=True)
        self.name = name
        if cpu is not None:
            command = ["taskset", "-c", str(cpu)] + command
        self.log_path = os.path.join(OUT, f"{name}.log")
        with open(self.log_path, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env, start_new_session=True)

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

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            self.process.wait()


def free_port(host="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def row(metric, ours, peer, peer_name, ratio, goal, rounds, unit, measure="", good=None, **more):
    made = {"metric": metric, "measure": measure, "ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio,
            "goal": goal, "pass": good if good is not None else (ratio >= goal), "rounds": rounds, "unit": unit}
    made.update(more)
    return made


def median(values):
    return statistics.median(values)


def load_average():
    with open("/proc/loadavg", encoding="ascii") as file:
        return float(file.read().split()[0])


def fail(text):
    print(text, file=sys.stderr)
    raise RuntimeError(text)
