"""Secrets, the loopback rule, and whom a tracker believes."""

import os
import shutil
import signal
import subprocess
import time
import unittest

import native_client as native
from cluster import CAIRN, DENIED, OK, UNAVAILABLE, USAGE, Server
from drill import OwnServerTest, SMALL, until

CLIENT_SECRET = b"what the clients know 0123456789"
NODE_SECRET = b"what only the nodes know 98765432"


class Role(Server):
    """A tracker or a storage as a process of its own; `address` is where it listens."""

    def __init__(self, verb, data, *flags, gets_ready=True):
        self.verb = verb
        self.gets_ready = gets_ready
        super().__init__(data, *flags)

    def command(self):
        return [CAIRN, self.verb, "--json", *self.flags]

    def start(self):
        self.tracker = self.storage = None
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=self.log)
        if self.gets_ready:
            self.ready = self.read_ready()
            self.address = self.ready[self.verb]

    def log_text(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()


class RoleTest(OwnServerTest):
    def setUp(self):
        super().setUp()
        self.client = self.write("client", CLIENT_SECRET + b"\n")
        self.node = self.write("node", NODE_SECRET + b"\n")
        self.wrong = self.write("wrong", b"what somebody else has guessed 1")

    def role(self, verb, name, *flags, gets_ready=True):
        role = Role(verb, self.path(name), *flags, gets_ready=gets_ready)
        self.addCleanup(role.kill)
        return role

    def tracker(self, *flags, listen="127.0.0.1:0"):
        return self.role("tracker", "tracker", "--listen", listen, *flags)

    def storage(self, tracker, machine, *flags, group="g1", gets_ready=True):
        name = f"storage-{machine}-{len(os.listdir(self.dir))}"
        os.mkdir(self.path(name))
        return self.role("storage", name, "--listen", "127.0.0.1:0", "--tracker", tracker.address, "--machine", machine,
            "--group", group, "--mount", self.path(name), *SMALL, *flags, gets_ready=gets_ready)

    def storages(self, tracker, *flags):
        """{machine: (state, uuid)} as the tracker tells."""
        return {storage["machine"]: (storage["state"], storage["uuid"]) for storage in
            self.status_of(tracker, *flags)["storages"]}

    def status_of(self, tracker, *flags):
        import json

        return json.loads(self.cairn("status", "--json", *flags, tracker=tracker.address).splitlines()[0])


class Secrets(RoleTest):
    def flags_of(self, client, node):
        return ["--client-secret-file", client, "--node-secret-file", node]

    def test_only_who_knows_the_secret_is_served(self):
        both = self.flags_of(self.client, self.node)
        tracker = self.tracker(*both)
        self.storage(tracker, "m001", *both)
        right = ["--secret-file", self.client]
        until(lambda: self.storages(tracker, *right).get(1, ("",))[0] == "running", 10, "the storage runs")
        path = self.write("file", b"secret content")
        file_id = self.cairn("put", path, *right, tracker=tracker.address).split(b"\t")[0].decode()
        self.assertEqual(self.cairn("get", file_id, *right, tracker=tracker.address), b"secret content")
        for flags in ([], ["--secret-file", self.wrong], ["--secret-file", self.node]):
            for words in (["put", path], ["get", file_id], ["stat", file_id], ["rm", file_id], ["status"], ["ls"]):
                with self.subTest(words=words, flags=flags):
                    output = self.cairn(*words, *flags, code=DENIED, tracker=tracker.address)
                    self.assertEqual(output, b"")
                    self.assertTrue(self.talk)
        self.assertEqual(self.cairn("get", file_id, *right, tracker=tracker.address), b"secret content")

    def test_a_client_is_no_node(self):
        both = self.flags_of(self.client, self.node)
        tracker = self.tracker(*both)
        with native.Connection(tracker.address, secret=CLIENT_SECRET) as connection:
            with self.assertRaises(native.Refused) as refusal:
                connection.call("heartbeat", machine=7, uuid=b"u" * 16, group="g1", pool="default",
                    address="127.0.0.1:9", state=6)
            self.assertEqual(refusal.exception.name, "DENIED")
            connection.call("ping")
        for secret in (None, CLIENT_SECRET):
            with self.assertRaises((native.Refused, native.Closed)):
                native.Connection(tracker.address, role=native.NODE, machine=7, secret=secret)
        with native.Connection(tracker.address, role=native.NODE, machine=7, secret=NODE_SECRET) as connection:
            connection.call("ping")
        self.assertEqual(self.storages(tracker, "--secret-file", self.client), {})

    def test_a_storage_with_the_wrong_node_secret_is_not_believed(self):
        tracker = self.tracker(*self.flags_of(self.client, self.node))
        storage = self.storage(tracker, "m001", *self.flags_of(self.client, self.wrong), gets_ready=False)
        until(lambda: "tracker_refuses" in storage.log_text(), 10, "the refusal in the storage's log")
        self.assertEqual(self.storages(tracker, "--secret-file", self.client), {})

    def test_a_bad_secret_file_is_a_usage_error(self):
        short = self.write("short", b"too short")
        for flags in (["--client-secret-file", short], ["--client-secret-file", self.path("missing")]):
            result = subprocess.run([CAIRN, "up", "--data", self.path("d"), "--port", "0", *flags], capture_output=True,
                text=True, timeout=30)
            self.assertEqual(result.returncode, USAGE, result.stderr)
            self.assertIn(flags[1], result.stderr)
        self.cairn("status", "--secret-file", short, code=USAGE, tracker="127.0.0.1:1")

    def test_secrets_are_nowhere_to_be_read(self):
        both = self.flags_of(self.client, self.node)
        tracker = self.tracker(*both)
        storage = self.storage(tracker, "m001", *both)
        until(lambda: self.storages(tracker, "--secret-file", self.client).get(1), 10, "the storage is known")
        told = self.cairn("status", "--json", "--secret-file", self.client, tracker=tracker.address)
        for server in (tracker, storage):
            told += server.log_text().encode()
            with open(f"/proc/{server.process.pid}/cmdline", "rb") as cmdline:
                told += cmdline.read()
        for secret in (CLIENT_SECRET, NODE_SECRET):
            self.assertNotIn(secret, told)


class Loopback(RoleTest):
    def refused(self, *words):
        result = subprocess.run([CAIRN, *words], capture_output=True, text=True, timeout=30)
        self.assertEqual(result.returncode, USAGE, result.stderr)
        self.assertIn("--insecure-listen", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_beyond_loopback_wants_secrets(self):
        for host in ("0.0.0.0", "10.1.2.3", "[::]"):
            with self.subTest(host=host):
                self.refused("tracker", "--listen", f"{host}:0")
                self.refused("tracker", "--listen", f"{host}:0", "--client-secret-file", self.client)
                self.refused("storage", "--listen", f"{host}:0", "--machine", "m001", "--group", "g1", "--mount",
                    self.path("none"), "--tracker", "127.0.0.1:1")
                self.refused("up", "--host", host.strip("[]"), "--data", self.path("none"), "--port", "0")
        self.assertFalse(os.path.exists(self.path("none")))

    def test_all_of_127_is_loopback(self):
        server = Server(self.path("d"), "--host", "127.0.0.2", *SMALL)
        self.addCleanup(server.kill)
        self.assertTrue(server.tracker.startswith("127.0.0.2:"))

    def test_with_secrets_or_a_loud_wish_it_listens(self):
        """In a network of its own, where nobody else can connect."""
        if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(["unshare", "-n", "true"]).returncode != 0:
            self.skipTest("no network namespace can be made here")
        network = 'ip link set lo up && ip addr add 10.77.0.1/32 dev lo && exec "$@"'
        for flags, client_flags in ((["--insecure-listen"], []),
            (["--client-secret-file", self.client, "--node-secret-file", self.node], ["--secret-file", self.client])):
            with self.subTest(flags=flags):
                server = self.start_server(f"d{len(flags)}", "--host", "10.77.0.1", *SMALL, *flags,
                    prefix=["unshare", "-n", "sh", "-c", network, "sh"])
                self.assertTrue(server.tracker.startswith("10.77.0.1:"))
                inside = ["nsenter", "-t", str(server.pid), "-n", CAIRN]
                put = subprocess.run([*inside, "put", "-", "--tracker", server.tracker, *client_flags], input=b"beyond",
                    capture_output=True, timeout=30)
                self.assertEqual(put.returncode, OK, put.stderr)
                self.assertEqual("insecure_listen" in server.log_text(), not client_flags)
                self.assertEqual(server.stop(), OK)


class Members(RoleTest):
    def test_a_machine_number_belongs_to_one(self):
        tracker = self.tracker()
        first = self.storage(tracker, "m001")
        until(lambda: self.storages(tracker).get(1, ("",))[0] == "running", 10, "the first runs")
        before = self.storages(tracker)
        second = self.storage(tracker, "m001", gets_ready=False)
        until(lambda: "tracker_refuses" in second.log_text(), 10, "the refusal in the second's log")
        refusal = next(line for line in second.log_text().splitlines() if "tracker_refuses" in line)
        self.assertRegex(refusal, r"machine number 1: ")
        self.assertIn(first.address, refusal)
        self.assertEqual(self.storages(tracker), before)
        file_id = self.cairn("put", self.write("f", b"x"), tracker=tracker.address).split(b"\t")[0].decode()
        self.assertEqual(second.stop(), OK)
        self.assertEqual(self.cairn("get", file_id, tracker=tracker.address), b"x")
        self.assertEqual(self.storages(tracker), before)

    def test_a_restarted_tracker_is_complete_within_a_heartbeat(self):
        tracker = self.tracker()
        storages = [self.storage(tracker, f"m00{i}", group=f"g{i}") for i in (1, 2, 3)]
        running = lambda: {m: s[0] for m, s in self.storages(tracker).items()} == dict.fromkeys((1, 2, 3), "running")
        until(running, 10, "all three run")
        ids = [self.cairn("put", self.write(f"f{i}", b"%d" % i), tracker=tracker.address).split(b"\t")[0].decode()
            for i in range(6)]
        for how in (signal.SIGKILL, signal.SIGTERM):
            tracker.end(how)
            self.cairn("get", ids[0], "--retries", "0", "--timeout", "1s", code=UNAVAILABLE, tracker=tracker.address)
            tracker = self.tracker(listen=tracker.address)
            started = time.monotonic()
            until(running, 4, "the tracker is complete again")
            print(f"complete {time.monotonic() - started:.2f} s after the tracker was ready")
            for i, file_id in enumerate(ids):
                self.assertEqual(self.cairn("get", file_id, tracker=tracker.address), b"%d" % i)
        for storage in storages:
            self.assertEqual(storage.stop(), OK)

    def test_a_storage_that_dies_is_not_named_any_more(self):
        tracker = self.tracker()
        storage = self.storage(tracker, "m001")
        until(lambda: self.storages(tracker).get(1, ("",))[0] == "running", 10, "it runs")
        storage.kill()
        until(lambda: self.storages(tracker)[1][0] != "running", 3, "its death is known at once")
        self.cairn("put", self.write("f", b"x"), "--retries", "0", code=UNAVAILABLE, tracker=tracker.address)
        storage.start()
        until(lambda: self.storages(tracker)[1][0] == "running", 5, "it runs again")


if __name__ == "__main__":
    unittest.main()
