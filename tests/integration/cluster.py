"""A real `cairn up` on a temporary directory, and the command line against it. Standard library only."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import unittest

READY_SECONDS = 30
COMMAND_SECONDS = 60

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/dev")
CAIRN = os.path.abspath(os.environ.get("CAIRN", os.path.join(BUILD, "cairn")))

# Exit codes, DESIGN section 9
OK, FAILED, USAGE, NOT_FOUND, DENIED, UNAVAILABLE, CONFLICT, INTEGRITY, PARTIAL, INTERRUPTED = range(10)


class Server:
    """One `cairn up --port 0`; `tracker` and `storage` are its addresses."""

    def __init__(self, data, *flags):
        self.data = data
        self.flags = list(flags)
        self.log_path = data + ".log"
        self.start()

    def command(self):
        return [CAIRN, "up", "--data", self.data, "--port", "0", "--json", *self.flags]

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.ready = self.read_ready()
        self.tracker = self.ready["tracker"]
        self.storage = self.ready["storage"]

    def read_ready(self):
        """The first line of standard output, or an error that shows the log."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(READY_SECONDS) else b""
        if not line:
            self.kill()
            with open(self.log_path, errors="replace") as log:
                raise RuntimeError("cairn up did not get ready:\n" + log.read()[-4000:])
        return json.loads(line)

    def end(self, number):
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(COMMAND_SECONDS)
        self.process.stdout.close()
        self.log.close()
        return code

    def stop(self):
        return self.end(signal.SIGTERM)

    def kill(self):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class ClusterTest(unittest.TestCase):
    """Starts a server once per class; a directory per test."""

    flags = []

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="cairn-test-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.server = cls.make_server()
        cls.addClassCleanup(cls.server.kill)

    @classmethod
    def make_server(cls):
        return Server(os.path.join(cls.root, "data"), *cls.flags)

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=self.root)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def command(self, *words, tracker=None):
        return [CAIRN, *words, "--tracker", tracker or self.server.tracker]

    def cairn(self, *words, code=OK, stdin=b"", tracker=None):
        """Run a verb; returns standard output as bytes. The exit code must be `code`."""
        result = subprocess.run(
            self.command(*words, tracker=tracker),
            input=stdin,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            cwd=self.dir,
        )
        self.talk = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, code, f"{words}: {self.talk}")
        return result.stdout

    def cairn_json(self, *words, code=OK, stdin=b""):
        """The JSON objects that a verb prints, one per line."""
        output = self.cairn(*words, "--json", code=code, stdin=stdin)
        return [json.loads(line) for line in output.splitlines()]

    def put(self, content, *flags):
        """Store bytes from standard input; returns the id."""
        output = self.cairn("put", "-", *flags, stdin=content)
        file_id, _, path = output.decode().rstrip("\n").partition("\t")
        self.assertEqual(path, "-")
        return file_id

    def get(self, file_id, *flags, code=OK):
        return self.cairn("get", file_id, *flags, code=code)
