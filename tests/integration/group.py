"""A tracker and the storages of one group as real processes, each storage on an address of its own.

As root each storage lives in a network namespace, behind a bridge in the namespace that the test runs in, so that it can
be cut off and comes back. Otherwise they share loopback, and cutting off is stopping (SIGSTOP)."""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

from cluster import CAIRN, COMMAND_SECONDS, READY_SECONDS
from native_client import Closed, Connection, Refused

NAMESPACE_MARK = "CAIRN_IN_NAMESPACE"
PORT = 7710


def enter_namespace():
    """Run this script again in a network namespace of its own, if we may make one."""
    if os.environ.get(NAMESPACE_MARK) or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        os.environ[NAMESPACE_MARK] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, "-B", *sys.argv])


def has_namespaces():
    return os.environ.get(NAMESPACE_MARK) == "1"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def free_port(host):
    with socket.create_server((host, 0)) as server:
        return server.getsockname()[1]


class Process:
    """A server with a ready line."""

    def __init__(self, words, log_path, prefix=()):
        self.words, self.log_path, self.prefix = words, log_path, list(prefix)
        self.environment = {}
        self.process = None

    def start(self, must_be_ready=True):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([*self.prefix, CAIRN, *self.words, "--json"], stdout=subprocess.PIPE,
            stderr=self.log, env={**os.environ, **self.environment})
        self.ready = self.read_ready() if must_be_ready else None

    def read_ready(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(READY_SECONDS) else b""
        if not line:
            self.end(signal.SIGKILL)
            raise RuntimeError(f"{self.words[0]} did not get ready:\n" + self.tail())
        return json.loads(line)

    def tail(self, size=4000):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-size:]

    def end(self, number):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        code = self.process.wait(COMMAND_SECONDS)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return code

    def is_alive(self):
        return self.process is not None and self.process.poll() is None


class Storage(Process):
    def __init__(self, group, number, flags, descriptors):
        self.group, self.number = group, number
        self.name = f"m{number:03d}"
        self.data = os.path.join(group.root, self.name)
        self.namespace = f"cairn-{os.getpid()}-{number}"
        self.host = f"10.77.0.{10 + number}" if has_namespaces() else f"127.0.0.{10 + number}"
        self.address = f"{self.host}:{PORT if has_namespaces() else free_port(self.host)}"
        prefix = ["ip", "netns", "exec", self.namespace] if has_namespaces() else []
        if descriptors:
            prefix += ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]
        words = ["storage", "--machine", self.name, "--group", "g1", "--mount", self.data, "--listen", self.address,
            "--tracker", group.tracker_address, "--insecure-listen", *flags]
        os.makedirs(self.data, exist_ok=True)
        super().__init__(words, self.data + ".log", prefix)
        if has_namespaces():
            self.make_namespace()

    def make_namespace(self):
        ip("netns", "add", self.namespace)
        ip("link", "add", f"veth{self.number}", "type", "veth", "peer", "name", f"peer{self.number}")
        ip("link", "set", f"peer{self.number}", "netns", self.namespace)
        ip("link", "set", f"veth{self.number}", "master", "bridge0")
        ip("link", "set", f"veth{self.number}", "up")
        inside = ["-n", self.namespace]
        ip(*inside, "addr", "add", f"{self.host}/24", "dev", f"peer{self.number}")
        ip(*inside, "link", "set", f"peer{self.number}", "up")
        ip(*inside, "link", "set", "lo", "up")

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        return self.end(signal.SIGTERM)

    def cut(self):
        if has_namespaces():
            ip("link", "set", f"veth{self.number}", "down")
        else:
            self.process.send_signal(signal.SIGSTOP)

    def heal(self):
        if has_namespaces():
            ip("link", "set", f"veth{self.number}", "up")
        else:
            self.process.send_signal(signal.SIGCONT)

    def empty(self):
        """As if the disk had been replaced. The process must be gone."""
        shutil.rmtree(self.data)
        os.makedirs(self.data)

    def connect(self, timeout=20):
        return Connection(self.address, timeout=timeout)

    def status(self):
        with self.connect() as connection:
            return connection.status()

    def state(self):
        try:
            return self.status()["state"]
        except (OSError, Closed, Refused):
            return "gone"

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def mapping_count(self):
        with open(f"/proc/{self.process.pid}/maps") as maps:
            return sum(1 for _ in maps)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024


class Group:
    """`with Group(root, 3) as group:`; everything is running then."""

    def __init__(self, root, count, flags=(), descriptors=0):
        self.root = root
        host = "10.77.0.1" if has_namespaces() else "127.0.0.1"
        if has_namespaces():
            ip("link", "set", "lo", "up")
            if subprocess.run(["ip", "link", "show", "bridge0"], capture_output=True).returncode != 0:
                ip("link", "add", "bridge0", "type", "bridge")
                ip("addr", "add", "10.77.0.1/24", "dev", "bridge0")
                ip("link", "set", "bridge0", "up")
        self.tracker_address = f"{host}:{free_port(host)}"
        self.tracker = Process(["tracker", "--listen", self.tracker_address, "--insecure-listen", "--claim", "10s"],
            os.path.join(root, "tracker.log"))
        self.storages = [Storage(self, number + 1, flags, descriptors) for number in range(count)]

    def __enter__(self):
        try:
            self.tracker.start()
            for storage in self.storages:
                storage.start()
            self.wait_running()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for storage in self.storages:
            if storage.is_alive():
                storage.heal()
            storage.kill()
        self.tracker.end(signal.SIGKILL)
        for storage in self.storages:
            if has_namespaces():
                subprocess.run(["ip", "netns", "del", storage.namespace], capture_output=True)

    def wait_until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                tails = "".join(f"\n--- {s.name} {s.state()}\n{s.tail(1500)}" for s in self.storages)
                raise AssertionError(f"not within {seconds} s: {what}{tails}")
            time.sleep(0.1)  # a process of its own has no event to offer us

    def wait_running(self, seconds=60):
        """Until everybody who is alive is running, and pushes to all others who are."""
        alive = {s.number for s in self.storages if s.is_alive()}

        def is_settled(storage):
            try:
                status = storage.status()
            except (OSError, Closed, Refused):
                return False
            followed = {m["machine"] for m in status["mirrors"] if all(x["state"] == "running" for x in m["streams"])}
            return status["state"] == "running" and alive - {storage.number} <= followed
        self.wait_until(lambda: all(is_settled(s) for s in self.storages if s.is_alive()), seconds,
            "all storages are running and follow each other")

    def cairn(self, *words, timeout=COMMAND_SECONDS):
        """(exit code, standard output, standard error)"""
        result = subprocess.run([CAIRN, *words, "--tracker", self.tracker_address], capture_output=True,
            timeout=timeout, cwd=self.root)
        return result.returncode, result.stdout.decode(), result.stderr.decode(errors="replace")
