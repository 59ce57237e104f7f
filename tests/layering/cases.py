#!/usr/bin/env python3
"""cases.py ROOT: a page that names a test does not lie.

tests/cases.md has each case once, with the tests that fail when it goes wrong again ("file:Suite.Test", of a script "file") or,
in brackets, why there is none. ARCHITECTURE.md and docs/ name tests likewise; docs/operating/limits.md, where each bound has its test,
also without their file (`Suite.Test`, `Suite.*`). Fails for each that is not there, and for an id that comes twice.
"""
import os
import re
import sys

import layering

CASES = "tests/cases.md"
LIMITS = "docs/operating/limits.md"
TEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
NAMED = re.compile(r"([\w./-]+_test\.(?:cc|py))(?::(\w+)\.(\w+|\*))?")  # file, file:Suite.Test
BARE = re.compile(r"`([A-Z]\w*)\.([A-Z]\w*|\*)`")                       # `Suite.Test`
ROW = re.compile(r"^\| *([A-Z]\w*|h1-\w+) *\|(.*)\|$")


def tests_of(root):
    """path -> {(suite, test)} of every file that has gtest cases; a python test is a script."""
    found = {}
    for path in sorted(layering.sources(root)):
        if os.path.basename(path).partition(".")[0].find("_test") >= 0 or path.startswith("tests/"):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                cases = set(TEST.findall(file.read()))
            if cases:
                found[path] = cases
    for folder, folders, files in os.walk(os.path.join(root, "tests")):
        for name in files:
            if name.endswith("_test.py"):
                found[os.path.relpath(os.path.join(folder, name), root)] = set()
    return found


def has(cases, suite, test):
    return (suite, test) in cases if test != "*" else any(suite == other for other, _ in cases)


def missing(tests, path, suite, test):
    """What is wrong with file:Suite.Test, or None."""
    if path not in tests:
        return f"there is no test file {path}"
    if suite and not has(tests[path], suite, test):
        return f"{path} has no {suite}.{test}"
    return None


def check_names(page, text, tests):
    for number, line in enumerate(text.split("\n"), 1):
        for path, suite, test in NAMED.findall(line):
            wrong = missing(tests, path, suite, test)
            if wrong:
                yield f"{page}:{number}: {wrong}"


def check_cases(text, tests):
    """Each id once, and with at least one test or a word in brackets why there is none."""
    seen = {}
    for number, line in enumerate(text.split("\n"), 1):
        row = ROW.match(line)
        if not row:
            if line.startswith("|") and not re.match(r"^\|( id |[-|]+$)", line):
                yield f"{CASES}:{number}: not a row of a case: {line}"
            continue
        case, cell = row.groups()
        if case in seen:
            yield f"{CASES}:{number}: {case} stands in line {seen[case]} already"
        seen[case] = number
        for item in (part.strip() for part in re.sub(r"\(.*?\)", "", cell).split(",")):
            if item and not NAMED.fullmatch(item):
                yield f"{CASES}:{number}: {case}: \"{item}\" is not file:Suite.Test"
        if not NAMED.search(cell) and not re.search(r"\(.+\)", cell):
            yield f"{CASES}:{number}: {case} has neither a test nor a reason"
    yield from check_names(CASES, text, tests)


def check_limits(text, tests):
    """Every `Suite.Test` of the page is a test; the column "test" has nothing else in such marks."""
    every, column = set().union(*tests.values()), None
    for number, line in enumerate(text.split("\n"), 1):
        for suite, test in BARE.findall(line):
            if not has(every, suite, test):
                yield f"{LIMITS}:{number}: no file has {suite}.{test}"
        if not line.startswith("|"):
            column = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if column is None:
            column = cells.index("test") if "test" in cells else -1
        elif 0 <= column < len(cells):
            for name in re.findall(r"`([^`]*)`", cells[column]):
                if not NAMED.fullmatch(name) and not BARE.fullmatch(f"`{name}`"):
                    yield f"{LIMITS}:{number}: `{name}` is not Suite.Test"


def check(root):
    tests = tests_of(root)
    pages = ["ARCHITECTURE.md"]
    for folder, _, files in sorted(os.walk(os.path.join(root, "docs"))):
        pages += sorted(os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(".md"))
    found = []
    for page in [CASES] + pages:
        with open(os.path.join(root, page), encoding="utf-8") as file:
            text = file.read()
        found += check_cases(text, tests) if page == CASES else check_names(page, text, tests)
        found += check_limits(text, tests) if page == LIMITS else []
    return found


def main():
    found = check(sys.argv[1])
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
