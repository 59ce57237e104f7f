#!/usr/bin/env python3
"""page_test.py PAGE BIN_DIR: runs the ```sh blocks of a page against a server of its own, as a reader would.

The server has addresses of its own; the blocks share one shell, in an empty folder. What they leave running is ended."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

page, programs = sys.argv[1], os.path.abspath(sys.argv[2])
ADDRESS = "127.44.0.1"


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


def main():
    with open(page, encoding="utf-8") as file:
        blocks = re.findall(r"^```sh\n(.*?)^```$", file.read(), re.S | re.M)
    if not blocks:
        sys.exit(f"{page} has no block to run")
    folder = tempfile.mkdtemp(prefix="weir-page-")
    environment = dict(os.environ, PATH=programs + os.pathsep + os.environ["PATH"], HOME=folder, WEIR_ORG="page-org",
                       WEIR_SERVER=ADDRESS + ":9443", WEIR_CA_FILE=folder + "/server/server-anchor.pem")
    with open(folder + "/server.log", "wb") as log:
        server = subprocess.Popen(["weir-server", "--state-dir", folder + "/server", "--address", ADDRESS,
                                   "--organization", "page-org"], env=environment, stderr=log, stdout=log)
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
            for name in ("agent", "t1", "t2", "pod-1"):
                path = f"{folder}/reader/hand/{name}.log"
                if os.path.exists(path):
                    with open(path, encoding="utf-8", errors="replace") as log:
                        print(f"{path}:\n" + "".join(log.readlines()[-10:]))
            sys.exit("the page does not work as it is written")
        if not any("hello from the cart" in line for line in output):
            sys.exit("the request was not answered by the application")
    finally:
        if shell is not None:
            end(shell)
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


main()
