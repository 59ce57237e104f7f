#!/usr/bin/env python3
"""./dev bench [ONLY=row,row]: measures Weir against real peers and writes build/bench/report.json.

The cost of a proxy is its CPU time per completed request: the sum of /proc/PID/task/*/schedstat over every process of
the contender. Contenders take turns within each round; a ratio is the median of the ratios within rounds. A run with
any error is void. First the same peer runs twice (A/A); outside 0.93..1.07 the machine is too noisy for verdicts.
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import control  # noqa: E402
import data  # noqa: E402
from common import OUT, log  # noqa: E402

ROWS = {"split": data.split, "h1_1k": data.h1_1k, "api_write": control.api_write}


def main():
    only = None
    for argument in sys.argv[1:]:
        if not argument.startswith("ONLY="):
            sys.exit(f"bench: unknown argument {argument}; use ONLY=row[,row] with rows {', '.join(ROWS)}")
        only = argument[5:].split(",")
        for row in only:
            if row not in ROWS:
                sys.exit(f"bench: unknown row {row}; rows: {', '.join(ROWS)}")
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, "report.json")
    report = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    for name in only or ROWS:
        log(f"== {name}")
        try:
            rows = ROWS[name]()
        except (OSError, subprocess.SubprocessError, RuntimeError, KeyError, statistics.StatisticsError) as error:
            rows = [{"metric": name, "ours": None, "peer": None, "peer_name": None, "ratio": None, "goal": None,
                     "pass": None, "rounds": 0, "unit": "", "why": f"void: {error}"}]
        for row in rows:
            log(json.dumps(row))
        report = [old for old in report if old["metric"] != name] + rows
        with open(path, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    log(f"bench: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
