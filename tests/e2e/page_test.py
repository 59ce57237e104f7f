#!/usr/bin/env python3
"""page_test.py PAGE BIN_DIR ADDRESS: runs the ```sh blocks of a page against a server of its own, as a reader would.

The server has ADDRESS of its own; the blocks share one shell, in an empty folder. What they leave running is ended. A line
`<!-- expect: TEXT -->` behind a block says what its output must hold; a block beyond these must only succeed."""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

page, programs, ADDRESS = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3]


def wait_for(path, process, seconds=30):
    until = time.monotonic() + seconds
    while not (os.path.exists(path) and os.path.getsize(path) > 0):
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(f"weir-server left no {path}")
        time.sleep(0.02)


def end(shell):
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def make_packages(folder):
    """Something that a server can hand out; no page installs it."""
    os.mkdir(folder)
    for name in ("weir-agent", "weir-gateway"):
        with open(f"{folder}/{name}_0.1.0_amd64.deb", "wb") as file:
            file.write(b"no package\n")


def what_lacks(expected, output):
    """The block and text that its output should hold."""
    for number, text in expected:
        begin = output.index(f"--- block {number}\n")
        end = next((i for i in range(begin + 1, len(output)) if output[i].startswith("--- ")), len(output))
        if not any(text in line for line in output[begin:end]):
            return f"block {number} did not print \"{text}\""
    return ""


def main():
    with open(page, encoding="utf-8") as file:
        found = re.findall(r"^```sh\n(.*?)^```$((?:\n<!-- expect: .*? -->$)*)", file.read(), re.S | re.M)
    blocks = [block for block, _ in found]
    expected = [(number, text) for number, (_, behind) in enumerate(found, 1)
                for text in re.findall(r"<!-- expect: (.*?) -->", behind)]
    if not blocks:
        sys.exit(f"{page} has no block to run")
    folder = tempfile.mkdtemp(prefix="weir-page-")
    environment = dict(os.environ, PATH=programs + os.pathsep + os.environ["PATH"], HOME=folder, WEIR_ORG="page-org",
                       WEIR_SERVER=ADDRESS + ":9443", WEIR_CA_FILE=folder + "/server/server-anchor.pem", WEIR_SERVER_STATE_DIR=folder + "/server")
    make_packages(folder + "/packages")
    with open(folder + "/server.log", "wb") as log:
        server = subprocess.Popen(["weir-server", "--state-dir", folder + "/server", "--address", ADDRESS,
                                   "--organization", "page-org", "--packages-dir", folder + "/packages"], env=environment, stderr=log, stdout=log)
    shell = None
    try:
        wait_for(folder + "/server/ports.json", server)
        wait_for(folder + "/server/admin-password", server)
        with open(folder + "/server/admin-password", "rb") as password:
            subprocess.run(["weir", "login", "admin"], env=environment, stdin=password, check=True, timeout=30)
        os.mkdir(folder + "/reader")
        # Each block is named before it runs, so that a failure says which one it was.
        script = "".join(f"echo '--- block {i}'\n{block}" for i, block in enumerate(blocks, 1)) + "echo '--- end'\n"
        shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=folder + "/reader", env=environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        output = []
        watchdog = threading.Timer(180, end, [shell])  # What the shell left running holds its output open.
        watchdog.start()
        for line in shell.stdout:
            output.append(line)
            print(line, end="", flush=True)
            if line == "--- end\n":
                break
        watchdog.cancel()
        if not output or output[-1] != "--- end\n":
            for path in sorted(glob.glob(f"{folder}/reader/**/*.log", recursive=True)):
                with open(path, encoding="utf-8", errors="replace") as log:
                    print(f"{path}:\n" + "".join(log.readlines()[-10:]))
            sys.exit("the page does not work as it is written")
        if lacks := what_lacks(expected, output):
            sys.exit(lacks)
    finally:
        if shell is not None:
            end(shell)
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


main()
