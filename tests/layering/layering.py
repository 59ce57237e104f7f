#!/usr/bin/env python3
"""layering.py ROOT: who may know whom, read from every #include line.

The table is cmake/edges.txt of ROOT, by which CMake links, too. Fails on an edge that it does not have, on one that no
include line uses, and on one that is exposed (left of "|") though no header uses it, or hidden though one does; and on a word between agent and gateways (libs/dialect),
or a reason of a status (libs/resource/status_reason.h), that another file spells itself. Locks are libs/base/mutex.h's, in tests too: no other is known to clang's
thread-safety analysis. Tests
(files that include gtest, and tests/) may include any module; only tests, benches and deploy/demo may include tests/support.
"""
import os
import re
import sys

PROGRAMS = ("mgmt-server", "cluster-agent")
# envoy_api inside proxy only where a snapshot is built.
PROXY_ENVOY = re.compile(r"^libs/proxy/envoy_")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
IS_TEST = re.compile(r'^\s*#\s*include\s+<(gtest|gmock)/', re.M)

# What agent and gateways say beyond Envoy is spelled once, so that both sides cannot differ. Tests spell it as it is on the wire.
DIALECT = ("libs/dialect/", "libs/xds/protocol/types.h")
SPELLED_ONCE = re.compile(r'"[^"]*(dev\.weir|x-weir-|/\.weir|weir\.mesh\.v1\.|weir\.health|outbound_\.)'
                          r'|(?<![\w.])15\'?443\b|set_name\("(identity|trust)"\)')
# Why a resource is in its state is said by the one table that `weir status --help` explains.
STATUS = ("mgmt-server/status/", "mgmt-server/fleet/applied.cc")
STATUS_WORD = re.compile(r'"[A-Z]+(_[A-Z0-9]+)+"')
SET_REASON = re.compile(r'set_reason\("')
COMMENT = re.compile(r"(^|\s)//.*")

# clang's analysis (-Wthread-safety) knows our own locks alone.
LOCKS = "libs/base/mutex.h"
FOREIGN_LOCK = re.compile(r"\bstd::(\w*mutex|lock_guard|(unique|scoped|shared)_lock|condition_variable\w*)\b|\babsl::(Mutex|CondVar)")


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git", "node_modules")]
        for name in files:
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


class Table:
    """cmake/edges.txt: what each module and each room may include."""

    def __init__(self, text):
        self.exposed, self.hidden = {}, {}
        for line in text.split("\n"):
            name, colon, allowed = line.split("#")[0].partition(":")
            if colon:
                exposed, _, hidden = allowed.partition("|")
                self.exposed[name.strip()], self.hidden[name.strip()] = exposed.split(), hidden.split()
        self.rooms = [name for name in self.exposed if name.split("/")[0] in PROGRAMS and "/" in name]

    def allows(self, name, target):
        return target in self.exposed.get(name, []) + self.hidden.get(name, [])

    def module(self, path):
        """The module a repository path or include path belongs to; None = not ours."""
        if path in self.exposed:  # A program of one file.
            return path
        if path.startswith("libs/"):
            parts = path.split("/")
            return "xds/" + parts[2] if parts[1] == "xds" else parts[1]
        if path.startswith(("api/", "google/api/", "google/rpc/")):
            return "api"
        if re.match(r"(envoy|udpa|xds|validate)/", path):
            return "envoy_api"
        for folder in ("tests/support", "deploy/demo"):
            if path.startswith(folder + "/"):
                return folder
        top = path.split("/")[0]
        return top if top in self.exposed else None

    def room(self, path):
        """The room of a program that a path belongs to, the innermost that the table has; None = none."""
        found = max((name for name in self.rooms if path.startswith(name + "/")), key=len, default=None)
        parts = path.split("/")
        if found is None and len(parts) > 2 and parts[0] in PROGRAMS:
            return "/".join(parts[:2])  # A room that the table does not know.
        return found


def check_locks(path, text):
    """Every lock that is not of LOCKS, as readable lines."""
    return [f"{path}:{number}: {match.group(0)} is unknown to the thread-safety analysis; take {LOCKS}"
            for number, line in enumerate(text.split("\n"), 1) if path != LOCKS
            for match in FOREIGN_LOCK.finditer(COMMENT.sub("", line))]


def check(table, path, text, used):
    """The violations of one file, as readable lines; adds the edges it needs to `used`: edge -> whether a header needs it."""
    found = []
    if path.startswith("tests/") or path.endswith("_test.cc") or IS_TEST.search(text):
        return found

    def use(name, target):
        used[(name, target)] = used.get((name, target), False) or path.endswith(".h")
        return table.allows(name, target)

    own, own_room = table.module(path), table.room(path)
    for number, line in enumerate(text.split("\n"), 1):
        if not path.startswith(DIALECT) and SPELLED_ONCE.search(COMMENT.sub("", line)):
            found.append(f"{path}:{number}: this stands in libs/dialect (or libs/xds/protocol/types.h); name it")
        code = COMMENT.sub("", line)
        if SET_REASON.search(code) or path.startswith(STATUS) and STATUS_WORD.search(code):
            found.append(f"{path}:{number}: this stands in libs/resource/status_reason.h; name it")
        match = INCLUDE.match(line)
        if not match:
            continue
        target, target_room = table.module(match.group(1)), table.room(match.group(1))
        if target is not None and target not in (own, "base"):
            if not use(own, target):
                found.append(f"{path}:{number}: {own} may not include {target} ({match.group(1)})")
            elif own == "proxy" and target == "envoy_api" and not PROXY_ENVOY.match(path):
                found.append(f"{path}:{number}: in proxy only envoy_snapshot may include {match.group(1)}")
        if own_room and target_room and own_room != target_room and not use(own_room, target_room):
            found.append(f"{path}:{number}: {own_room} may not include {target_room} ({match.group(1)})")
    return found


def check_table(table, used):
    """What the table says and no include line does. tests/support is exempt from the rules, not from the table."""
    found = []
    for name in table.exposed:
        for target in table.exposed[name] + table.hidden[name]:
            if (name, target) not in used:
                found.append(f"cmake/edges.txt: {name} includes nothing of {target}; take the edge out")
            elif name not in table.rooms and used[(name, target)] != (target in table.exposed[name]):
                side = ("hidden: a header of it includes one; move it left of" if used[(name, target)]
                        else "exposed: only sources of it include one; move it right of")
                found.append(f'cmake/edges.txt: {name} has {target} as {side} the "|"')
    return found


def check_tree(root):
    with open(os.path.join(root, "cmake/edges.txt"), encoding="utf-8") as file:
        table = Table(file.read())
    found, files, used = [], 0, {}
    for path in sorted(sources(root)):
        files += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        found += check(table, path, text, used) + check_locks(path, text)
    return found + check_table(table, used), files


def main():
    found, files = check_tree(os.path.abspath(sys.argv[1]))
    print("\n".join(found + [f"layering: {files} files, {len(found)} violations"]))
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
