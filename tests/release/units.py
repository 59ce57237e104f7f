#!/usr/bin/env python3
"""units.py FOLDER: the systemd units of FOLDER are right (systemd-analyze verify) and exposed no more than 2.0 of 10 (security).
Whether the programs can live with what the units forbid is not tried: that wants a machine on which systemd runs."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

MOST = 2.0  # 1.4 and 1.9 when this was written; what is left is the network, which is what they are for.


def verify(units):
    """In a root of its own, where the programs are said to be there."""
    root = tempfile.mkdtemp(prefix="weir-units-")
    try:
        shutil.copytree("/lib/systemd/system", root + "/lib/systemd/system", symlinks=True)
        names = []
        for unit in units:
            shutil.copy(unit, root + "/lib/systemd/system")
            names.append(os.path.basename(unit).replace("@.", "@edge-t1."))
            with open(unit, encoding="utf-8") as file:
                for program in re.findall(r"^Exec\w+=(\S+)", file.read(), re.M):
                    os.makedirs(os.path.dirname(root + program), exist_ok=True)
                    shutil.copy("/bin/true", root + program)
        done = subprocess.run(["systemd-analyze", f"--root={root}", "--man=no", "--recursive-errors=no", "verify", *names],
                              capture_output=True, text=True)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "weir" in line]
        return said + ([] if done.returncode == 0 else [f"systemd-analyze verify: {done.returncode} {done.stderr[-500:]}"])
    finally:
        shutil.rmtree(root)


def exposure(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "./" + os.path.basename(unit)],
                          capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(unit)))
    score = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    if not score:
        return f"{unit}: systemd-analyze security says {done.stdout[-200:]}{done.stderr[-200:]}"
    print(f"{os.path.basename(unit)}: exposed {score[1]} of 10, at most {MOST}")
    return "" if float(score[1]) <= MOST else f"{unit}: exposed {score[1]} of 10, more than {MOST}"


def main():
    units = sorted(glob.glob(os.path.join(sys.argv[1], "*.service")))
    if not units:
        sys.exit("units: there are none")
    wrong = verify(units) + [text for text in map(exposure, units) if text]
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main())
