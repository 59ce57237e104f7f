#!/usr/bin/env python3
"""./dev bench [ONLY=row,row]: measures Weir against real peers and writes build/bench/report.json; `./dev bench SHOW`
prints that report as a table.

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
import api  # noqa: E402
import control  # noqa: E402
import data  # noqa: E402
import effective  # noqa: E402
import footprint  # noqa: E402
import install  # noqa: E402
import plan  # noqa: E402
import restore  # noqa: E402
import survival  # noqa: E402
import watch  # noqa: E402
from common import OUT, log, void  # noqa: E402

ROWS = {"split": data.split, "h1_1k": data.h1_1k, "h1_12hdr": data.h1_12hdr, "h1_64k": data.h1_64k,
        "routes_10k": data.routes_10k, "tls_1k": data.tls_1k, "tls_64k": data.tls_64k, "rss_base": footprint.rss_base,
        "rss_10k": footprint.rss_10k, "idle_conn": footprint.idle_conn, "start_small": footprint.start_small,
        "start_10k": footprint.start_10k, "effective": effective.effective,
        "delta_bytes": effective.delta_bytes, "api_write": control.api_write, "api_get": api.api_get, "watch": watch.watch,
        "explain": api.explain, "cli_get": api.cli_get, "rss_server": api.rss_server, "plan": plan.plan, "restore": restore.restore,
        "kill": survival.kill, "freeze": survival.freeze, "upgrade": survival.upgrade,
        "server_gone": survival.server_gone, "install": install.install}
ALONE = {"server_gone", "install"}  # Half an hour; wants packages and root: only when asked for.


def number(value):
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def show(report):
    print("| row | measure | ours | peer | ratio | goal | pass | unit |\n|---|---|---|---|---|---|---|---|")
    for row in report:
        peer = "-" if row["peer"] is None else f"{number(row['peer'])} ({row['peer_name']})"
        verdict = {True: "yes", False: "**no**", None: "-"}[row["pass"]]
        note = f"; {row['why']}" if row.get("why") else ""
        print(f"| `{row['metric']}` | {row['measure']} | {number(row['ours'])} | {peer} | {number(row['ratio'])} | "
              f"{number(row['goal'])} | {verdict} | {row['unit']}{note} |")


def read_report(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    only = None
    path = os.path.join(OUT, "report.json")
    if sys.argv[1:] == ["SHOW"]:
        show(read_report(path))
        return 0
    for argument in sys.argv[1:]:
        if not argument.startswith("ONLY="):
            sys.exit(f"bench: unknown argument {argument}; use ONLY=row[,row] with rows {', '.join(ROWS)}")
        only = argument[5:].split(",")
        for row in only:
            if row not in ROWS:
                sys.exit(f"bench: unknown row {row}; rows: {', '.join(ROWS)}")
    os.makedirs(OUT, exist_ok=True)
    report = read_report(path)
    for name in only or [name for name in ROWS if name not in ALONE]:
        log(f"== {name}")
        try:
            rows = ROWS[name]()
        except (OSError, subprocess.SubprocessError, RuntimeError, KeyError, statistics.StatisticsError) as error:
            rows = [void(name, error)]
        for row in rows:
            log(json.dumps(row))
        report = [old for old in report if old["metric"] != name] + rows
        with open(path, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    show([row for row in report if only is None or row["metric"] in only])
    log(f"bench: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
