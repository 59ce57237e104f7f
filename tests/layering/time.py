#!/usr/bin/env python3
"""time.py ROOT: nobody reads the time, or waits, past the clock that he was given.

Product code takes a weir::Clock and waits by libs/base/wait.h; tests turn its hands, and where something outside has to
happen they poll with a deadline (tests/support/real_time.h). EXCEPTIONS names what stands outside of that, how often
and why; time.txt says how often the files that do not obey yet go past it, and may only shrink. An allowance that is not
used any more fails too. What drives real programs may read the real time; tests/bench
may sleep too.
"""
import os
import re
import sys

READS = re.compile(r"\b(?:\w+_clock|[Cc]lock|Steady)::now\b|\bClock::Real\(\)\.(?:Now|Wall)\b"
                   r"|(?<![\w.>:])(?:std::)?time\((?:nullptr|NULL|0)\)|\b(?:clock_gettime|gettimeofday|absl::Now)\b")
SLEEPS = re.compile(r"\bsleep_(?:for|until)\b|(?<![\w.>])(?:u|nano)?sleep\(")
WAITS = re.compile(r"\bwait_(?:for|until)\(|\bWaitRealTime\(")  # Of product code: a CondVar or future with a time of its own.
KINDS = {"reads": READS, "sleeps": SLEEPS, "waits": WAITS}

CLOCK = re.compile(r"^libs/base/(?:clock\w*\.(?:cc|h)|wait\.h|mutex\.h)$|^tests/bench/")
REAL = re.compile(r"^tests/(?:e2e|support|conformance)/|^deploy/demo/")  # They drive real programs, and measure.
TEST = re.compile(r"^tests/|_test\w*\.(?:cc|h)$|_fixture\.h$|^mgmt-server/fleet/small_agent\.h$")

# path: {kind: (how often, why)}
EXCEPTIONS = {
    "tests/support/real_time.h": {"sleeps": (1, "here tests poll, with a deadline")},
    "libs/rpc/time.cc": {"reads": (1, "gRPC keeps its deadlines by the system's clock")},
    "libs/obs/log.cc": {"reads": (1, "a line says when it was really written")},
    "libs/http/client.cc": {"reads": (2, "Asio waits for the socket by the real clock")},
    "libs/http/server.cc": {
        "reads": (2, "how long the end of a process waits for requests in flight"),
        "sleeps": (1, "the same"),
    },
    "libs/gateway/handover.cc": {"reads": (2, "poll() waits by the real clock")},
    "libs/gateway/gateway.cc": {"sleeps": (1, "a successor asks again whether it is ready; naps by the clock")},
    "libs/admin/door.cc": {
        "reads": (4, "poll() waits by the real clock"),
        "sleeps": (1, "no descriptor is left: accept() would fail again at once"),
    },
    "libs/proxy/engine.cc": {"waits": (3, "a worker's thread answers within real time or does not")},
    "mgmt-server/store/feed.h": {"waits": (1, "the disk did not answer; asked again, not at once")},
    "cluster-agent/link/joining.cc": {"sleeps": (1, "a signal cannot wake it; naps by the clock")},
    "cli/traffic.cc": {"reads": (1, "a table for people says how old its rows are")},
    "cli/install.cc": {"sleeps": (1, "--wait asks once a second")},
    "cli/rollout.cc": {"sleeps": (1, "--watch asks once a second")},
    "cli/client.cc": {
        "waits": (1, "people at a terminal see each second that it is waited for"),
        "sleeps": (1, "before a server that cannot be reached is asked again"),
    },
    "cli/watch.cc": {
        "reads": (2, "--timeout, over several connections"),
        "sleeps": (1, "before the next connection"),
    },
    "cli/status.cc": {"sleeps": (1, "--watch draws each so many seconds")},
    "tests/support/timeline.cc": {"sleeps": (1, "a fleet serves for so long before the next thing is done to it")},
    "tests/support/load.cc": {"sleeps": (1, "the pace of a load")},
    "tests/support/downloads.cc": {"sleeps": (2, "the pace of a reader, and of who is refused")},
    "tests/support/process.cc": {"sleeps": (1, "polls with a deadline")},
    "tests/conformance/power_loss_disk.cc": {"sleeps": (1, "a disk that is slow, as asked for")},
    "tests/e2e/bad_input_test.cc": {"sleeps": (1, "the life of a token, of a real server")},
    "tests/e2e/envoy_warming_test.cc": {"sleeps": (2, "the pace of requests to a stock Envoy")},
    "tests/e2e/rotation_test.cc": {"sleeps": (1, "the pace of an observer")},
    "tests/e2e/server_gone_test.cc": {"sleeps": (2, "a fleet without its server for so long; the pace of an observer")},
    "tests/e2e/server_kill_test.cc": {"sleeps": (1, "killed anywhere within the work: the moment is chance's")},
    "tests/e2e/restore_kill_test.cc": {"sleeps": (1, "killed anywhere within the restore: the moment is chance's")},
    "tests/e2e/change_set_kill_test.cc": {"sleeps": (1, "killed anywhere within the commit: the moment is chance's")},
    "tests/e2e/upgrade_test.cc": {"sleeps": (1, "the pace of a prober")},
    "deploy/demo/demo.cc": {"sleeps": (1, "programs are waited for, with a deadline")},
}


def read_owed(path):
    """path: {kind: how often}, from lines "path kind count"."""
    owed = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split("#")[0].split()
            if line:
                owed.setdefault(line[0], {})[line[1]] = int(line[2])
    return owed


def code(line):
    """The line without its comment."""
    return re.sub(r'(?<!:)//.*', "", line)


def findings(path, text):
    """(kind, line number) of everything in one file that goes past the clock."""
    if CLOCK.match(path):
        return []
    kinds = [kind for kind in KINDS if not (kind == "waits" and TEST.search(path))
             and not (kind == "reads" and REAL.match(path))]
    return [(kind, number) for number, line in enumerate(text.split("\n"), 1) for kind in kinds
            for _ in KINDS[kind].findall(code(line))]


def judge(files, exceptions, owed):
    """Violations, as readable lines. `files`: path -> text."""
    wrong = []
    for path, text in sorted(files.items()):
        found = findings(path, text)
        for kind in KINDS:
            lines = [number for k, number in found if k == kind]
            most = exceptions.get(path, {}).get(kind, (0, ""))[0] + owed.get(path, {}).get(kind, 0)
            if len(lines) > most:
                wrong += [f"{path}:{number}: {kind} past the clock it was given (libs/base/clock.h, libs/base/wait.h, "
                          f"tests/support/real_time.h)" for number in lines[most:]]
            elif len(lines) < most:
                wrong.append(f"{path}: {kind} {len(lines)} times, allowed are {most}: lower it")
    wrong += [f"{path}: allowed for a file that is not there" for path in {**exceptions, **owed} if path not in files]
    return wrong


# path, line, what must be found; looked at before every run, so that the check itself cannot rot.
CASES = [
    ("libs/a/b.cc", "x = std::chrono::steady_clock::now();", ["reads"]),
    ("libs/a/b.cc", "x = system_clock::now() + y; z = steady_clock::now();", ["reads", "reads"]),
    ("libs/a/b.cc", "x = std::filesystem::file_time_type::clock::now();", ["reads"]),
    ("libs/a/b.cc", "x = Clock::Real().Now();", ["reads"]),
    ("libs/a/b.cc", "x = time(nullptr); y = std::time(nullptr);", ["reads", "reads"]),
    ("libs/a/b.cc", "x = clock_->Now(); y = message.time(0); f(Clock::Real());", []),
    ("libs/a/b.cc", "// steady_clock::now() is not read", []),
    ("libs/a/b.cc", "std::this_thread::sleep_for(5ms); usleep(1);", ["sleeps", "sleeps"]),
    ("libs/a/b.cc", "future.wait_for(5ms);", ["waits"]),
    ("libs/a/b.cc", "wake_.WaitRealTime(mutex_, 5ms, ready);", ["waits"]),
    ("libs/a/b.cc", "WaitFor(clock_, wake_, mutex_, 5ms, ready);", []),
    ("libs/a/b_test.cc", "wake_.WaitRealTime(mutex_, 5ms, ready);", []),
    ("libs/a/b_test.cc", "future.wait_for(10s);", []),
    ("libs/a/b_test.cc", "std::this_thread::sleep_for(5ms);", ["sleeps"]),
    ("libs/a/b_test.cc", "const auto end = std::chrono::steady_clock::now() + 5s;", ["reads"]),
    ("libs/base/clock.cc", "return std::chrono::steady_clock::now();", []),
    ("tests/bench/a.cc", "return std::chrono::steady_clock::now();", []),
    ("tests/e2e/a_test.cc", "sleep(1); x = Steady::now();", ["sleeps"]),
]


def self_test():
    for path, line, expected in CASES:
        got = [kind for kind, _ in findings(path, line)]
        assert got == expected, f"time.py: {path}: {line}: found {got}, expected {expected}"
    one = {"a.cc": "sleep(1);"}
    assert len(judge(one, {}, {})) == 1
    assert judge(one, {"a.cc": {"sleeps": (1, "why")}}, {}) == []
    assert judge(one, {}, {"a.cc": {"sleeps": 1}}) == []
    assert len(judge(one, {"a.cc": {"sleeps": (2, "why")}}, {})) == 1  # More is allowed than is needed.
    assert len(judge(one, {"a.cc": {"sleeps": (1, "why")}}, {"b.cc": {"sleeps": 1}})) == 1


def main():
    self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    files = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git")]
        for name in names:
            if name.endswith((".cc", ".h")):
                path = os.path.relpath(os.path.join(folder, name), root)
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    files[path] = file.read()
    owed = read_owed(os.path.join(os.path.dirname(os.path.abspath(__file__)), "time.txt"))
    wrong = judge(files, EXCEPTIONS, owed)
    for line in wrong:
        print(line)
    print(f"time: {len(files)} files, {len(wrong)} past the clock")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
