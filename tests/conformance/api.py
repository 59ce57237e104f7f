#!/usr/bin/env python3
"""api.py WEIR_SERVER OUT: asks a real weir-server by its own OpenAPI document, and fails for what that does not say.

Starts the server with a fresh state on free ports of the loopback and stores a few objects. openapi-spec-validator judges the
document; schemathesis (on PYTHONPATH, see scripts/api-checkers) then asks every operation with values that fit the schemas and
values that do not: no answer may be 5xx, or have a status, a media type, a header or a body that the document does not describe.
It asks three times: as nobody, with the names of objects that are there, and with names of its own. Of a method that has a
path for each kind two paths are asked. OUT keeps the document, the reports and the server's log. The last line is "N passed, N
failed": operations, counted once per round.
"""
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree

PATIENCE = 900  # Seconds, at most, for a round; most are over in a tenth of it.
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.path.abspath(os.environ.get("PYTHONPATH", ".")))  # Rounds run elsewhere.
# Not negative_data_rejection: null is taken as if the field were not there, which no schema says.
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth")
GROUP = "organizations/acme/tenants/shop/workspaces/web/gatewaygroups/edge"
DOCUMENTS = """apiVersion: api.weir.dev/v2
kind: Tenant
metadata: {name: shop, organization: acme}
---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {name: web, organization: acme, tenant: shop}
spec: {namespaceSelector: {names: ["*/*"]}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {name: edge, organization: acme, tenant: shop, workspace: web}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: c1, organization: acme}
---
apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: t1, organization: acme, tenant: shop, workspace: web, group: edge}
spec:
  workloadSelector: {namespace: n, labels: {app: t1}}
  externalServers:
  - {name: s, hostname: shop.example.com, port: 80, clusters: [{name: c1, weight: 1}]}
---
apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: gw, organization: acme, tenant: shop, workspace: web, group: edge}
spec:
  workloadSelector: {namespace: n, labels: {app: t2}}
  http:
  - name: h
    hostname: other.example.com
    port: 8080
    routing: {rules: [{redirect: {authority: shop.example.com}}]}
---
apiVersion: api.weir.dev/v2
kind: OrganizationSetting
metadata: {name: defaults, organization: acme}
"""
# The parameter of each collection -> the name of an object that is there.
NAMES = {"organization": "acme", "tenant": "shop", "workspace": "web", "gatewaygroup": "edge", "cluster": "c1",
         "tier1gateway": "t1", "gateway": "gw", "setting": "defaults", "user": "eve"}
# A round that names what is there must leave it there, and its own session.
ENDLESS = ["--exclude-path", "/v2/watch"]  # An answer that does not end; as nobody it is asked too.
LEAVES = ["--exclude-method", "DELETE", "--exclude-path", "/v2/logout", *ENDLESS]


class Server:
    """weir-server in a process of its own."""

    def __init__(self, program, out):
        self.state = os.path.join(out, "state")
        self.log = open(os.path.join(out, "server.log"), "wb")
        self.process = subprocess.Popen(
            [program, "--state-dir", self.state, "--organization", "acme", "--rest-port", "0", "--grpc-port", "0",
             "--agent-port", "0"], stdout=self.log, stderr=subprocess.STDOUT)
        ports = os.path.join(self.state, "ports.json")
        deadline = time.monotonic() + 60
        while not os.path.exists(ports):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"api.py: weir-server did not start; see {self.log.name}")
            time.sleep(0.1)
        with open(ports) as file:
            self.url = f"https://127.0.0.1:{json.load(file)['rest']}"
        self.anchor = os.path.join(self.state, "server-anchor.pem")
        self.context = ssl.create_default_context(cafile=self.anchor)

    def ask(self, method, path, body=None, token=""):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
            return answer.read()

    def sign_in(self, user, password):
        body = {"organization": "acme", "user": user, "password": password}
        return json.loads(self.ask("POST", "/v2/login", body))["token"]

    def administrator(self):
        with open(os.path.join(self.state, "admin-password")) as file:
            return self.sign_in("admin", file.readline().strip())

    def fill(self, token):
        self.ask("POST", "/v2/documents:apply", {"documents": DOCUMENTS}, token)
        self.ask("POST", "/v2/organizations/acme/users", {"metadata": {"name": "eve"}, "spec": {}}, token)

    def stop(self):
        """Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.log.close()


def schemathesis(server, out, name, token, arguments, config=""):
    """One round: (passed, failed)."""
    report, settings = os.path.join(out, f"{name}.xml"), os.path.join(out, f"{name}.toml")
    with open(settings, "w") as file:
        file.write(config)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run", os.path.join(out, "asked.json"),
               "--url", server.url, "--tls-verify", server.anchor, "--checks", CHECKS, "--generation-database", "none",
               "--request-timeout", "30", "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", "--no-color", "--seed", "1", "--report", "junit",
               "--report-junit-path", report, *arguments]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    with open(os.path.join(out, f"{name}.log"), "w") as log:
        try:
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=PATIENCE, cwd=out,
                                  env=ENVIRONMENT).returncode
        except subprocess.TimeoutExpired:
            code = -1
    passed, failed = count(report)
    if code != 0 and failed == 0:
        failed = 1
    if failed:
        with open(os.path.join(out, f"{name}.log")) as log:
            print(log.read()[-20000:])
    print(f"{'FAILED' if failed else 'ok'}: {name}: {passed} operations as described, {failed} not ({time.monotonic() - began:.0f} s)")
    return passed, failed


def count(report):
    if not os.path.exists(report) or os.path.getsize(report) == 0:  # It was cut off.
        return 0, 0
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    skipped = sum(case.find("skipped") is not None for case in cases)
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    return len(cases) - skipped - failed, failed


def valid(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator
    errors = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    print("\n== the document\n" + "\n".join(errors[:20] + [f"{'FAILED' if errors else 'ok'}: the document is OpenAPI 3.1"]))
    return (0, 1) if errors else (1, 0)


def sample(document):
    """The document with two paths, the shortest and the longest, of a method that has one for each kind."""
    paths = {}
    for path, item in document["paths"].items():
        for operation in item.values():
            if isinstance(operation, dict) and "x-grpc-method" in operation:
                paths.setdefault(operation["x-grpc-method"], []).append(path)
    kept = {path for all_of_it in paths.values() for path in (min(all_of_it, key=len), max(all_of_it, key=len))}
    others = {path for path, item in document["paths"].items() if "x-grpc-method" not in json.dumps(item)}
    return {**document, "paths": {path: item for path, item in document["paths"].items() if path in kept | others}}


def rounds(server, out):
    token = server.administrator()
    server.fill(token)
    document = json.loads(server.ask("GET", "/openapi.json", token=token))
    for name, content in (("openapi.json", document), ("asked.json", sample(document))):
        with open(os.path.join(out, name), "w") as file:
            json.dump(content, file, indent=1)
    yield valid(document)
    fixed = "[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in NAMES.items())
    yield schemathesis(server, out, "as nobody", "", ["--phases", "fuzzing", "--max-examples", "2"])
    yield schemathesis(server, out, "names that are there", token,
                       ["--phases", "coverage,fuzzing", "--max-examples", "10", *LEAVES], fixed)
    yield schemathesis(server, out, "names of its own", server.administrator(), 
                       ["--phases", "fuzzing", "--max-examples", "5", "--exclude-path", "/v2/logout", *ENDLESS])
    yield schemathesis(server, out, "sign-out", server.administrator(), 
                       ["--phases", "fuzzing", "--max-examples", "1", "--include-path", "/v2/logout"])
    server.ask("GET", "/healthz")


def main():
    program, out = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    subprocess.run(["rm", "-rf", out], check=True)
    os.makedirs(out)
    server = Server(program, out)
    try:
        results = list(rounds(server, out))
    finally:
        code = server.stop()
    results.append((1, 0) if code == 0 else (0, 1))
    print(f"{'ok' if code == 0 else 'FAILED'}: the server ran on and stopped (exit code {code})")
    passed, failed = (sum(column) for column in zip(*results))
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
