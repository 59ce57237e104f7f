#!/usr/bin/env python3
"""layering.py ROOT: who may know whom, read from every #include line. Fails on any edge that EDGES does not allow.

The table is the one of ARCHITECTURE.md; a new edge needs an ADR. Tests (files *_test.cc and tests/) may include any
module; only tests, benches and deploy/demo may include tests/support.
"""
import os
import re
import sys

EDGES = {
    "base": "", "obs": "", "document": "api", "resource": "api", "facts": "api", "ngac": "", "traffic": "", "codec": "",
    "bootstrap": "obs api document", "identity": "obs", "process": "",
    "net": "obs identity", "rpc": "obs identity api", "http": "obs identity",
    "proxy": "obs identity net codec traffic envoy_api", "xds/protocol": "obs envoy_api", "admin": "obs net",
    "xds/grpc": "xds/protocol rpc obs envoy_api",
    "gateway": "bootstrap process obs identity net codec rpc proxy admin xds/protocol xds/grpc api envoy_api",
    "mgmt-server": "bootstrap process obs identity rpc http admin codec resource ngac traffic document facts xds/protocol xds/grpc api",
    "cluster-agent": "bootstrap process obs identity rpc http admin document facts traffic xds/protocol xds/grpc api envoy_api",
    "tier1-gateway": "gateway proxy obs net", "tier2-gateway": "gateway proxy obs net",
    "pod-proxy": "gateway proxy obs net",
    "cli": "bootstrap obs identity rpc document resource traffic api",
    "deploy/demo": "api document identity tests/support",
}
# envoy_api inside proxy only where a snapshot is built.
PROXY_ENVOY = re.compile(r"^libs/proxy/envoy_")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')
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


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git", "node_modules")]
        for name in files:
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def check(path, text):
    """The violations of one file, as readable lines."""
    found = []
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        found.append(f"{path}: {len(lines)} lines; no file passes {MAX_LINES}")
    own = module(path)
    is_test = path.startswith("tests/") or path.endswith("_test.cc")
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        target = module(match.group(1)) if match else None
        if target is None or target == own or target == "base":
            continue
        if is_test:
            continue
        allowed = EDGES.get(own, "").split()
        if target not in allowed:
            found.append(f"{path}:{number}: {own} may not include {target} ({match.group(1)})")
        elif own == "proxy" and target == "envoy_api" and not PROXY_ENVOY.match(path):
            found.append(f"{path}:{number}: in proxy only envoy_snapshot may include {match.group(1)}")
    return found


def self_test():
    """The check must find what it is for."""
    assert check("libs/ngac/a.cc", '#include "libs/resource/kinds.h"')
    assert check("mgmt-server/a.cc", '#include "libs/proxy/engine.h"')
    assert check("libs/proxy/engine.cc", '#include "envoy/config/core/v3/base.pb.h"')
    assert check("cli/a.cc", '#include "tests/support/fleet.h"')
    assert not check("libs/net/a.cc", '#include "libs/identity/spiffe_id.h"\n#include <vector>')
    assert not check("libs/net/a_test.cc", '#include "tests/support/fleet.h"')


def main():
    self_test()
    root = os.path.abspath(sys.argv[1])
    found, files = [], 0
    for path in sorted(sources(root)):
        files += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            found += check(path, file.read())
    print("\n".join(found + [f"layering: {files} files, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
