"""The stage: free ports, processes that end with their story, and Mangrove itself."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
WORK = HERE / "work"
UP_WITHIN = 30.0
DOWN_WITHIN = 15.0


def free_port():
    """A port that nothing listens on now, on either loopback; below those that outgoing connections are given."""
    for port in random.sample(range(20_000, 32_000), 200):
        if not listening(port, "127.0.0.1") and not listening(port, "::1"):
            return port
    raise RuntimeError("no port is free")


class Stage:
    """Everything one story starts. Leaving it ends all of it, last started first."""

    def __init__(self, name):
        self.folder = WORK / "stage" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self.running:
            end(self.running.pop())

    def part(self, name):
        """A folder of its own on the same stage, for a site that brings several servers."""
        part = Stage(f"{self.folder.name}-{name}")
        part.running = self.running
        return part

    def start(self, name, command, ready, **options):
        """Starts a process, its output in `name.out`, and waits until `ready()` holds."""
        output = self.folder / f"{name}.out"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, **options
            )
        self.running.append(process)
        deadline = time.monotonic() + UP_WITHIN
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not come up:\n{output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return process

    def nginx(self, server, port):
        """Debian's nginx with one `server` block's content."""
        folder = self.folder / "nginx"
        (folder / "body").mkdir(parents=True, exist_ok=True)
        config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(f"""
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    sendfile on;
    server {{ {server} }}
}}
""")
        return self.start("nginx", ["nginx", "-c", config, "-e", folder / "error.log"], lambda: listening(port))

    def mangrove(self, origin, settings="", name="mangrove"):
        """Mangrove before one origin, which answers for every host."""
        return Mangrove(self, name, origin, settings)


class Mangrove:
    """One running Mangrove: cleartext and TLS, on IPv4 and IPv6 loopback."""

    def __init__(self, stage, name, origin, settings):
        self.folder = stage.folder / name
        subprocess.run(["rm", "-rf", self.folder], check=True)
        self.folder.mkdir()
        self.clear, self.tls, self.admin = free_port(), free_port(), free_port()
        config = self.folder / "mangrove.toml"
        config.write_text(f"""
[server]
http  = ["127.0.0.1:{self.clear}", "[::1]:{self.clear}"]
https = ["127.0.0.1:{self.tls}", "[::1]:{self.tls}"]
admin = "127.0.0.1:{self.admin}"
state = "{self.folder}/state"

[[site]]
name    = "real"
hosts   = ["*"]
origins = ["{origin}"]
{settings}
""")
        self.http = f"http://localhost:{self.clear}"
        self.https = f"https://localhost:{self.tls}"
        self.certificate = self.folder / "state/edge/tls/self-signed.crt"
        self.process = stage.start(name, [os.environ["MANGROVE"], "serve", "--config", config], self.is_ready)
        self.output = stage.folder / f"{name}.out"

    def is_ready(self):
        try:
            return self.ask("/readyz").startswith("ready")
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, path):
        """What the operator's listener says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def records(self):
        """The access log so far. Lines are written soon after a response, so callers wait for what they expect."""
        path = self.folder / "state/log/access.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def await_record(self, matches, within=5.0):
        """The first record that matches, or None."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for record in self.records():
                if matches(record):
                    return record
            time.sleep(0.05)
        return None

    def resident_kib(self):
        """Resident memory of the supervisor and its edge together."""
        return sum(resident_kib(pid) for pid in [self.process.pid, *children(self.process.pid)])

    def judge(self, story, allowed_reasons=()):
        """What every story ends with: nothing refused, nothing panicked, stopping works."""
        time.sleep(0.3)
        records = self.records()
        refused = [record for record in records if record.get("reason") and record["reason"] not in allowed_reasons]
        story.check("Mangrove refused or failed nothing", not refused, refused[:3])
        panics = [line for line in self.ask("/metrics").splitlines() if "panics_total{" in line and not line.endswith(" 0")]
        story.check("no module panicked", not panics, panics)
        versions = {}
        for record in records:
            version = record.get("network.protocol.version", "?")
            versions[version] = versions.get(version, 0) + 1
        story.note(f"{len(records)} requests logged {versions}, {self.resident_kib()} KiB resident at the end")
        self.process.send_signal(signal.SIGTERM)
        story.same("Mangrove stops with exit code 0", self.process.wait(DOWN_WITHIN), 0)
        story.check("it printed no panic", "panicked" not in self.output.read_text(errors="replace"))


def listening(port, host="127.0.0.1"):
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def end(process):
    """Ends one process that this stage started, politely first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(DOWN_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def resident_kib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
