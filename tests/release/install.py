#!/usr/bin/env python3
"""install.py PACKAGES ROOT.tar [CASE…]: installs, joins, upgrades and removes the .deb files of the folder PACKAGES on machines without
systemd (`./dev install-test`). A machine is a Debian 12 root (ROOT.tar, made by mmdebstrap) under an overlay of its own, with the systemctl
beside this file; all share one loopback and nothing else. WEIR_PREVIOUS_PACKAGES names a folder with packages of an earlier version: then
agents and servers of both versions meet.

Wants root. Prints a line per case, `install: N s`, and at last `N passed, M failed`."""
import contextlib
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
NEXT = "9.9.9"  # Version of the packages that upgrades are made with.
TOKEN = re.compile(rb"weir-(?:re)?join-1\.[A-Za-z0-9_-]{40,}")


class Machine:
    def __init__(self, name, world):
        self.name, self.root = name, os.path.join(world, name, "root")
        upper, work = os.path.join(world, name, "upper"), os.path.join(world, name, "work")
        for folder in (self.root, upper, work):
            os.makedirs(folder)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={world}/debian,upperdir={upper},workdir={work}", self.root], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", self.path("proc")], check=True)
        subprocess.run(["mount", "--bind", "/dev", self.path("dev")], check=True)
        os.makedirs(self.path("run/systemd/system"))
        shutil.copy(os.path.join(HERE, "systemctl"), self.path("usr/bin/systemctl"))
        with open(self.path("usr/bin/journalctl"), "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\ncat "/run/stub-systemd/$2.log"\n')
        os.chmod(self.path("usr/bin/journalctl"), 0o755)
        with open(self.path("etc/hostname"), "w", encoding="utf-8") as file:
            file.write(name + "\n")

    def path(self, inside):
        return os.path.join(self.root, inside.lstrip("/"))

    def run(self, command, stdin="", check=True, user=None):
        """Command of a shell -> (exit code, standard output, standard error)."""
        who = [f"--userspec={user}"] if user else []
        done = subprocess.run(["chroot", *who, self.root, "/bin/sh", "-c", command], input=stdin, capture_output=True, text=True,
                              timeout=400, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"})
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command[:200]}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode, done.stdout, done.stderr

    def install(self, *files):
        for file in files:
            shutil.copy(file, self.path("tmp"))
        names = " ".join("/tmp/" + os.path.basename(file) for file in files)
        return self.run(f"DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --allow-downgrades {names}")

    def files(self):
        """What a run may leave nothing new among."""
        found = set()
        for top in ("etc", "usr", "var/lib", "lib", "opt", "root", "home"):
            for folder, folders, names in os.walk(self.path(top)):
                inside = os.path.relpath(folder, self.root)
                if inside.startswith(("var/lib/apt", "var/lib/dpkg", "var/lib/systemd", "usr/share/doc")):
                    folders.clear()
                    continue
                found.update(os.path.join(inside, name) for name in names + folders)
        # The user stays, and with it the files that accounts are in; caches are nobody's state.
        return {name for name in found if not re.match(r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/ld.so.cache"
                                                       r"|etc/systemd(/|$)|etc/.pwd.lock", name)}

    def main_pid(self, unit):
        with open(self.path(f"run/stub-systemd/{unit}.service.pid"), encoding="utf-8") as file:
            return int(file.read())


def eventually(what, seconds=60):  # How long a broken one may take.
    until = time.monotonic() + seconds
    while True:
        last = what()
        if last or time.monotonic() > until:
            return last
        time.sleep(0.05)


def expect(holds, text):
    if not holds:
        raise AssertionError(text)


class World:
    def __init__(self, folder, packages):
        self.folder, self.count = folder, 0
        self.debs = {os.path.basename(path).split("_")[0]: path for path in glob.glob(os.path.join(packages, "*.deb"))}
        self.server = self.new_server("server", self.debs)

    def machine(self):
        self.count += 1
        return Machine(f"machine{self.count}", self.folder)

    def join_by_hand(self, machine, server, name, address):
        """As an operator without the script, for packages that it does not bring."""
        server.run("weir apply -f -", stdin=f"apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {{name: {name}, organization: acme}}\n")
        token = server.run(f"weir cluster token {name}")[1]
        machine.run("umask 077; cat > /etc/weir/join-token; chown weir:weir /etc/weir/join-token", stdin=token)
        machine.run("mkdir -p /etc/weir/discovery; printf 'workloads: []\nservices: []\n...\n' > /etc/weir/discovery/discovery.yaml")
        machine.run("cat > /etc/weir/agent.yaml", stdin=f"server: {address}\ndiscoveryFile: /etc/weir/discovery/discovery.yaml\n"
                    f"joinTokenFile: /etc/weir/join-token\nlisten: 127.0.0.1:0\n")
        machine.run("systemctl enable --now weir-agent")

    def new_server(self, name, debs):
        server = Machine(name, self.folder)
        server.install(debs["weir-server"], debs["weir-cli"])
        os.makedirs(server.path("debs"))
        for name in ("weir-agent", "weir-gateway"):
            shutil.copy(debs[name], server.path("debs"))
        return server

    def start_server(self):
        self.said = self.server.run("weir-server install --organization acme --packages /debs --names weir.example")[1]
        self.server.run("weir login admin --server 127.0.0.1:9443 --org acme --ca-file /var/lib/weir-server/server-anchor.pem"
                        " < /var/lib/weir-server/admin-password")

    def script(self, name, *flags):
        return self.server.run(f"weir cluster install --vm {name} {' '.join(flags)}")[1]

    def status(self, name, server=None):
        return (server or self.server).run(f"weir status cluster {name}", check=False)[1]

    def is_ready(self, name, server=None):
        return " READY " in self.status(name, server)


def repacked(deb, folder, version):
    """The same package under another version."""
    tree = tempfile.mkdtemp(dir=folder)
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = os.path.join(tree, "DEBIAN/control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^Version: .*$", f"Version: {version}", text, flags=re.M))
    out = os.path.join(folder, f"{os.path.basename(deb).split('_')[0]}_{version}_amd64.deb")
    subprocess.run(["dpkg-deb", "-Znone", "-b", tree, out], check=True, capture_output=True)
    shutil.rmtree(tree)
    return out


@contextlib.contextmanager
def watched_arguments(seen):
    """What stands in the arguments of any process meanwhile."""
    over = threading.Event()

    def watch():
        while not over.is_set():
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    with open(path, "rb") as file:
                        seen.update(TOKEN.findall(file.read()))
                except OSError:
                    pass
            time.sleep(0.005)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


DISCOVERY = """workloads:
- {name: t1, namespace: edge, serviceAccount: t1, labels: {app: t1}, addresses: [127.77.0.1], ports: {80: 18080}}
services: []
...
"""
DOCUMENTS = """apiVersion: api.weir.dev/v2
kind: Tenant
metadata: {name: t, organization: acme}
---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {name: w, organization: acme, tenant: t}
spec: {namespaceSelector: {names: ["edge1/edge"]}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {name: g, organization: acme, tenant: t, workspace: w}
---
apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: shop, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: edge, labels: {app: t1}}
  externalServers: [{name: s, hostname: shop.example.com, port: 80, clusters: [{name: edge1, weight: 100}]}]
"""


def the_first_server(world):
    world.start_server()
    expect("/var/lib/weir-server/admin-password" in world.said, world.said)
    again = world.server.run("weir-server install --organization acme --names weir.example")[1]
    expect("is installed and runs" in again, again)
    code, _, error = world.server.run("weir-server install --organization other", check=False)
    expect(code == 1 and "INSTALLED" in error, error)
    mode = os.stat(world.server.path("var/lib/weir-server")).st_mode & 0o777
    expect(mode == 0o700, f"the state folder is {mode:o}")


def a_machine_joins(world):
    world.edge = world.machine()
    world.edge_script = world.script("edge1", "--tier1", "--region", "eu")
    (secret,) = {match.decode() for match in TOKEN.findall(token_of(world.edge_script).encode())}
    seen, begin = set(), time.monotonic()
    with watched_arguments(seen):
        _, said, _ = world.edge.run("sh", stdin=world.edge_script)
        expect(eventually(lambda: world.is_ready("edge1")), world.status("edge1"))
    took = time.monotonic() - begin
    print(f"install: {took:.1f} s", flush=True)
    expect("this machine is the agent of organizations/acme/clusters/edge1 now" in said and "is active" in said, said)
    expect(not seen, "a token stood in a process's arguments")
    for top in ("etc/weir", "run/stub-systemd", "var/log", "tmp"):
        for folder, _, names in os.walk(world.edge.path(top)):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        expect(secret.encode() not in file.read(), f"{path} holds the token")
    expect(not os.path.exists(world.edge.path("etc/weir/join-token")), "the token file stays")
    expect(os.stat(world.edge.path("var/lib/weir-agent")).st_mode & 0o777 == 0o700, "others may read the agent's state")


def token_of(script):
    import base64
    return base64.b64decode(re.search(r"join_token\(\) \{\n.*?\n(.*?)END\n", script, re.S)[1]).decode()


def the_second_run_says_so(world):
    before = world.edge.files()
    pid = world.edge.main_pid("weir-agent")
    _, said, _ = world.edge.run("sh", stdin=world.edge_script)
    expect("already" in said and "nothing to do" in said, said)
    expect(world.edge.files() == before and world.edge.main_pid("weir-agent") == pid, "the second run changed something")
    other = world.script("edge9")
    code, _, error = world.edge.run("sh", stdin=other, check=False)
    expect(code == 1 and "is the agent of organizations/acme/clusters/edge1 already" in error, error)
    expect(world.edge.main_pid("weir-agent") == pid, "another cluster's script changed something")


def fails_whole(world, script, wanted, user=None, machine=None):
    """The script ends with `wanted` and leaves nothing."""
    machine = machine or world.machine()
    before = machine.files()
    code, out, error = machine.run("sh", stdin=script, check=False, user=user)
    expect(code == 1 and wanted in error, f"code {code}, wanted {wanted!r}: {out}{error}")
    left = {name for name in machine.files() ^ before}
    expect(not left, f"it left {sorted(left)[:10]}")
    _, packages, _ = machine.run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n' 'weir-*'", check=False)
    expect("installed" not in packages.replace("not-installed", ""), packages)
    expect(machine.run("systemctl is-active weir-agent", check=False)[1] != "active\n", "the agent runs")


def what_fails_leaves_nothing(world):
    fails_whole(world, world.edge_script, "this join token was used before")
    fails_whole(world, world.edge_script.replace("amd64 weir-", "arm64 weir-"), "there is no weir-agent for amd64")
    fails_whole(world, world.edge_script, "must run as root", user="nobody:nogroup")
    fails_whole(world, world.edge_script.replace("REST_PORT=8443", "REST_PORT=8449"), "cannot be reached at 127.0.0.1:8449")
    changed = re.sub(r" [0-9a-f]{64}('?)$", " " + "0" * 64 + r"\1", world.script("edge1"), flags=re.M)
    fails_whole(world, changed, "its SHA-256 is another")


def a_wrong_anchor_is_not_believed(world):
    impostor = Machine("impostor", world.folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", impostor.path("k.pem"), "-out",
                    impostor.path("c.pem")], check=True, capture_output=True)
    door = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:8448", "-www", "-quiet", "-key", impostor.path("k.pem"),
                             "-cert", impostor.path("c.pem")], stdin=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        script = world.script("edge1").replace("REST_PORT=8443", "REST_PORT=8448")
        fails_whole(world, script, "is not the weir-server of this script")
    finally:
        door.kill()
        door.wait()


def a_bundle_needs_no_rest_port_and_fails_whole_too(world):
    # Used up: the packages are installed, the agent is refused, all of it is taken back.
    script = world.script("edge2", "--bundle", "--rest-port", "1", "--listen", "127.0.0.2:15012")
    machine = world.machine()
    _, said, _ = machine.run("sh", stdin=script)
    expect("is active" in said and eventually(lambda: world.is_ready("edge2")), said + world.status("edge2"))
    fails_whole(world, script, "the agent could not join")
    world.bundled = machine


def gateways_upgrade_by_their_hand_over(world):
    world.server.run("weir apply -f -", stdin=DOCUMENTS)
    edge = world.edge
    with open(edge.path("etc/weir/discovery/discovery.yaml.new"), "w", encoding="utf-8") as file:
        file.write(DISCOVERY)
    os.rename(edge.path("etc/weir/discovery/discovery.yaml.new"), edge.path("etc/weir/discovery/discovery.yaml"))
    expect(eventually(lambda: os.path.exists(edge.path("var/lib/weir-agent/workloads/edge/t1/gateway.json"))), "no workload")
    edge.run("systemctl enable --now weir-tier1@edge-t1.service")
    ask = "curl -s -o /dev/null -w %{http_code} -H 'Host: shop.example.com' http://127.77.0.1:18080/"
    expect(eventually(lambda: edge.run(ask, check=False)[1] == "503"), edge.run(ask, check=False)[1] + world.server.run("weir status -o json", check=False)[1] + edge.run("tail -5 /run/stub-systemd/weir-tier1@edge-t1.service.log")[1])  # Nobody serves it behind.
    before, codes, over = edge.main_pid("weir-tier1@edge-t1"), [], threading.Event()

    def callers():
        while not over.is_set():
            codes.append(edge.run(ask, check=False)[1])
    thread = threading.Thread(target=callers)
    thread.start()
    try:
        edge.install(repacked(world.debs["weir-gateway"], world.folder, NEXT))
        after = edge.main_pid("weir-tier1@edge-t1")
        expect(eventually(lambda: not alive(before)), "the old gateway does not end")
    finally:
        over.set()
        thread.join()
    expect(after != before and alive(after), "the new gateway does not run")
    expect(len(codes) > 20 and set(codes) == {"503"}, f"{len(codes)} requests: {set(codes)}")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return ") Z " not in file.read()
    except OSError:
        return False


def agent_and_server_upgrade(world):
    before = world.edge.main_pid("weir-agent"), world.server.main_pid("weir-server")
    world.edge.install(repacked(world.debs["weir-agent"], world.folder, NEXT))
    expect(world.edge.main_pid("weir-agent") != before[0], "the agent was not restarted")
    expect(eventually(lambda: world.status("edge1") and "DISCONNECTED" not in world.status("edge1")), world.status("edge1"))
    world.server.install(repacked(world.debs["weir-server"], world.folder, NEXT))
    expect(world.server.main_pid("weir-server") != before[1], "the server was not restarted")
    expect(eventually(lambda: world.is_ready("edge2")), world.status("edge2"))


def removal_keeps_state_and_purge_leaves_none(world):
    machine = world.bundled
    state = machine.path("var/lib/weir-agent")
    machine.run("apt-get remove -y -q weir-agent")
    expect(machine.run("systemctl is-active weir-agent", check=False)[1] != "active\n", "the agent runs on")
    expect(os.listdir(state) and os.path.exists(machine.path("etc/weir/agent.yaml")), "removal took the state")
    machine.install(world.debs["weir-agent"])
    machine.run("systemctl start weir-agent")
    expect(eventually(lambda: world.is_ready("edge2")), world.status("edge2"))
    machine.run("apt-get purge -y -q weir-agent weir-gateway")
    for left in ("var/lib/weir-agent", "etc/weir", "usr/bin/weir-agent", "lib/systemd/system/weir-agent.service",
                 "etc/systemd/system/multi-user.target.wants/weir-agent.service"):
        expect(not os.path.lexists(machine.path(left)), f"purge left {left}")


def uninstall_removes_and_revokes(world):
    script = world.server.run("weir cluster uninstall --vm edge1")[1]
    code, _, error = world.machine().run("sh", stdin=script)
    expect(code == 0, error)  # A machine that is no agent has nothing to do.
    _, said, _ = world.edge.run("sh", stdin=script)
    expect("no longer" in said, said)
    for left in ("var/lib/weir-agent", "etc/weir", "usr/bin/weir-agent", "usr/bin/weir-tier1"):
        expect(not os.path.lexists(world.edge.path(left)), f"it left {left}")
    expect(not world.is_ready("edge1"), world.status("edge1"))
    generation = world.server.run("weir get cluster edge1 -o jsonpath='{.state.generation}'")[1]
    expect(generation.strip() == "2", f"generation {generation}")
    _, said, _ = world.edge.run("sh", stdin=script)
    expect("nothing to do" in said, said)
    # The machine may join again.
    world.edge.run("sh", stdin=world.script("edge1"))
    expect(eventually(lambda: world.is_ready("edge1")), world.status("edge1"))


class Skipped(Exception):
    pass


def versions_meet(world):
    previous = os.environ.get("WEIR_PREVIOUS_PACKAGES")
    if not previous:
        raise Skipped("WEIR_PREVIOUS_PACKAGES names no folder with packages of an earlier version")
    debs = {os.path.basename(path).split("_")[0]: path for path in glob.glob(os.path.join(previous, "*.deb"))}
    # An agent of before at the server of now; then its state is read by the agent of now.
    machine = world.machine()
    machine.install(debs["weir-agent"])
    world.join_by_hand(machine, world.server, "edge3", "127.0.0.1:9444")
    expect(eventually(lambda: world.is_ready("edge3")), world.status("edge3"))
    machine.install(world.debs["weir-agent"])
    machine.run("systemctl restart weir-agent")
    expect(eventually(lambda: world.is_ready("edge3")), world.status("edge3"))
    # An agent of now at a server of before; then that server's state is read by the server of now.
    server, machine = Machine("before", world.folder), world.machine()
    server.install(debs["weir-server"], world.debs["weir-cli"])
    server.run("cat > /etc/weir/server.yaml", stdin="address: 127.0.0.2\norganization: acme\nrestPort: 28443\ngrpcPort: 29443\nagentPort: 29444\n")
    server.run("systemctl enable --now weir-server")
    expect(eventually(lambda: os.path.exists(server.path("var/lib/weir-server/ports.json"))), "the server of before does not start")
    login = ("weir login admin --server 127.0.0.2:29443 --org acme --ca-file /var/lib/weir-server/server-anchor.pem"
             " < /var/lib/weir-server/admin-password")
    expect(eventually(lambda: server.run(login, check=False)[0] == 0), server.run(login, check=False))
    machine.install(world.debs["weir-agent"])
    world.join_by_hand(machine, server, "edge4", "127.0.0.2:29444")
    expect(eventually(lambda: world.is_ready("edge4", server)), world.status("edge4", server))
    server.install(world.debs["weir-server"])
    server.run("systemctl restart weir-server")
    expect(eventually(lambda: world.is_ready("edge4", server)), world.status("edge4", server))


CASES = [the_first_server, a_machine_joins, the_second_run_says_so, what_fails_leaves_nothing, a_wrong_anchor_is_not_believed,
         a_bundle_needs_no_rest_port_and_fails_whole_too, gateways_upgrade_by_their_hand_over, agent_and_server_upgrade,
         removal_keeps_state_and_purge_leaves_none, uninstall_removes_and_revokes, versions_meet]
NEEDED = {"the_first_server", "a_machine_joins"}  # By all others.


def inside(folder, packages, tar, only):
    """In namespaces of its own: what is mounted and started here ends with this process."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs(folder + "/debian")
    subprocess.run(["tar", "-C", folder + "/debian", "-xf", tar, "--exclude=./dev/*"], check=True)
    world, passed, failed = World(folder, packages), 0, 0
    for case in CASES:
        if only and case.__name__ not in NEEDED.union(only):
            continue
        begin = time.monotonic()
        try:
            case(world)
            passed += 1
            print(f"ok: {case.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skipped as why:
            print(f"skipped: {case.__name__}: {why}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED: {case.__name__}\n{traceback.format_exc()}", flush=True)
            if case.__name__ in NEEDED:
                break
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return failed


def main():
    if sys.argv[1] == "--inside":
        sys.exit(1 if inside(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]) else 0)
    arguments = [os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), *sys.argv[3:]]
    folder = tempfile.mkdtemp(prefix="weir-install-")  # Empty again once the namespaces are gone.
    done = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                             os.path.abspath(__file__), "--inside", folder, *arguments])
    os.rmdir(folder)
    sys.exit(done.returncode)


main()
