"""Row `install`: from the first byte of the script of `weir cluster install` on a machine until the cluster is READY. Of the packages that
`./dev package` made, in a root that mmdebstrap made: a machine's own Debian mirror is not part of it."""
import os
import re
import subprocess
import sys

from common import fail, row

LIMIT = 30
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))


def install():
    packages = os.path.join(SOURCE, "build/packages")
    root = subprocess.run([os.path.join(SOURCE, "scripts/debian-root"), packages], capture_output=True, text=True)
    if root.returncode:
        fail(f"install: {root.stderr.strip()}")
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, os.path.join(SOURCE, "tests/release/install.py"), packages, root.stdout.strip(),
                               "a_machine_joins"], capture_output=True, text=True)
        took = re.search(r"^install: ([0-9.]+) s$", done.stdout, re.M)
        if done.returncode or not took:
            fail(f"install: {done.stdout[-2000:]}{done.stderr[-500:]}")
        seconds.append(float(took[1]))
    worst = max(seconds)
    return [row("install", worst, None, None, None, LIMIT, len(seconds), "s", measure="script to READY", good=worst <= LIMIT)]
