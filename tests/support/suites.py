#!/usr/bin/env python3
"""suites.py BUILD REGEX: which cases of suites (binaries whose cases share a fleet) match REGEX.

Prints a line "<ctest name> <gtest filter>" for each suite that has some. ctest knows a suite as one test only.
"""
import json
import os
import re
import subprocess
import sys


def cases(binary):
    """"Suite.Case" of every case in a GoogleTest binary."""
    listed = subprocess.run([binary, "--gtest_list_tests"], capture_output=True, text=True, timeout=60, check=True)
    suite = ""
    for line in listed.stdout.splitlines():
        line = line.split("#")[0].rstrip()
        if line and not line.startswith(" "):
            suite = line
        elif line.strip() and suite.endswith("."):
            yield suite + line.strip()


def main():
    build, wanted = sys.argv[1], re.compile(sys.argv[2])
    listed = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1", "-L", "^fleet$"],
                            capture_output=True, text=True, timeout=300, check=True)
    for test in json.loads(listed.stdout[listed.stdout.index("{"):])["tests"]:
        command = test.get("command", [])
        if len(command) != 1 or not os.access(command[0], os.X_OK):
            continue
        matching = [name for name in cases(command[0]) if wanted.search(name)]
        if matching:
            print(test["name"], ":".join(matching))


if __name__ == "__main__":
    main()
