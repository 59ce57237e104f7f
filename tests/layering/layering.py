#!/usr/bin/env python3
"""layering.py ROOT: who may know whom, read from every #include line.

The table is cmake/edges.txt. Fails on an edge that it does not have, and on one between rooms of a program that no include
line uses. Tests (files that include gtest, and tests/) may include any module; only tests, benches and
deploy/demo may include tests/support.
"""
import os
import re
import sys


def read_edges(path):
    """module -> the modules it may include."""
    edges = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split("#")[0].strip()
            if line:
                name, _, allowed = line.partition(":")
                edges[name.strip()] = allowed.split()
    return edges


EDGES = read_edges(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cmake/edges.txt"))
PROGRAMS = ("mgmt-server", "cluster-agent")
ROOMS = [name for name in EDGES if name.split("/")[0] in PROGRAMS and "/" in name]
# envoy_api inside proxy only where a snapshot is built.
PROXY_ENVOY = re.compile(r"^libs/proxy/envoy_")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
IS_TEST = re.compile(r'^\s*#\s*include\s+<(gtest|gmock)/', re.M)
MAX_LINES = 800


def module(path):
    """The module a repository path or include path belongs to; None = not ours."""
    if path.startswith("libs/"):
        parts = path.split("/")
        return "xds/" + parts[2] if parts[1] == "xds" else parts[1]
    if path.startswith("api/") or path.startswith("google/api/") or path.startswith("google/rpc/"):
        return "api"
    if re.match(r"(envoy|udpa|xds|validate)/", path):
        return "envoy_api"
    if path.startswith("tests/support/"):
        return "tests/support"
    if path.startswith("deploy/demo/"):
        return "deploy/demo"
    top = path.split("/")[0]
    return top if top in EDGES else None


def room(path):
    """The room of a program that a path belongs to, the innermost that the table has; None = none."""
    found = max((name for name in ROOMS if path.startswith(name + "/")), key=len, default=None)
    parts = path.split("/")
    if found is None and len(parts) > 2 and parts[0] in PROGRAMS:
        return "/".join(parts[:2])  # A room that the table does not know.
    return found


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git", "node_modules")]
        for name in files:
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def check(path, text, used=None):
    """The violations of one file, as readable lines; adds the edges it needs to `used`."""
    found = []
    used = set() if used is None else used
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        found.append(f"{path}: {len(lines)} lines; no file passes {MAX_LINES}")
    if path.startswith("tests/") or path.endswith("_test.cc") or IS_TEST.search(text):
        return found
    own, own_room = module(path), room(path)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target, target_room = module(match.group(1)), room(match.group(1))
        if target is not None and target not in (own, "base"):
            used.add((own, target))
            if target not in EDGES.get(own, []):
                found.append(f"{path}:{number}: {own} may not include {target} ({match.group(1)})")
            elif own == "proxy" and target == "envoy_api" and not PROXY_ENVOY.match(path):
                found.append(f"{path}:{number}: in proxy only envoy_snapshot may include {match.group(1)}")
        if own_room and target_room and own_room != target_room:
            used.add((own_room, target_room))
            if target_room not in EDGES.get(own_room, []):
                found.append(f"{path}:{number}: {own_room} may not include {target_room} ({match.group(1)})")
    return found


def unused(used):
    return [f"cmake/edges.txt: {name} includes nothing of {target}; take the edge out"
            for name in ROOMS for target in EDGES[name] if (name, target) not in used]


def self_test():
    """The check must find what it is for."""
    assert check("libs/ngac/a.cc", '#include "libs/resource/kinds.h"')
    assert check("mgmt-server/a.cc", '#include "libs/proxy/engine.h"')
    assert check("libs/proxy/engine.cc", '#include "envoy/config/core/v3/base.pb.h"')
    assert check("cli/a.cc", '#include "tests/support/fleet.h"')
    assert not check("libs/net/a.cc", '#include "libs/identity/spiffe_id.h"\n#include <vector>')
    assert not check("libs/net/a_test.cc", '#include "tests/support/fleet.h"')
    assert check("mgmt-server/services/a.cc", '#include "mgmt-server/push/pusher.h"')
    assert check("mgmt-server/compile/a.cc", '#include "mgmt-server/store/store.h"')
    assert check("mgmt-server/store/store.cc", '#include "mgmt-server/store/sqlite/rows.h"')
    assert not check("mgmt-server/store/sqlite/a.cc", '#include "mgmt-server/store/store.h"')
    assert len(unused({(ROOMS[0], EDGES[ROOMS[0]][0])})) == sum(len(EDGES[name]) for name in ROOMS) - 1


def main():
    self_test()
    root = os.path.abspath(sys.argv[1])
    found, files, used = [], 0, set()
    for path in sorted(sources(root)):
        files += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            found += check(path, file.read(), used)
    found += unused(used)
    print("\n".join(found + [f"layering: {files} files, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
