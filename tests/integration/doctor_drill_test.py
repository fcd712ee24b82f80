"""The doctor drill: one leak at a time is made on purpose (CAIRN_DRILL, builds with CAIRN_DRILLS only), under traffic
between two mirrors. `cairn doctor` must name place, direction, owner and kind within 60 seconds, and find nothing in a
healthy group under the same traffic. With CAIRN_LONG=1 that goes on for ten minutes."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from cluster import CAIRN, FAILED, OK
from drill import memory_directory
from group import Group, enter_namespace
from native_client import Closed, Connection, Refused

FOUND_WITHIN_SECONDS = 60
QUERY_UPLOAD = 1
FILES_KEPT = 100
HEALTHY_SECONDS = 600 if os.environ.get("CAIRN_LONG") else 40

# name: who leaks, and what the doctor must say of it
DRILLS = {
    "sync-recv-fd": ("m002", {"code": "LEAK", "kind": "fd", "direction": "sync-recv", "origin": 1, "peer": 1,
        "file": "src/storage/native_follow.c", "function": "take_result"}),
    "sync-send-map": ("m001", {"code": "LEAK", "kind": "map", "direction": "sync-send", "peer": 2,
        "file": "src/storage/push_batch.c", "function": "batch_done"}),
    "error-slot": ("m001", {"code": "LEAK", "kind": "slot", "direction": "client", "operation": "native",
        "file": "src/storage/native.c", "function": "native_op_fail"}),
    "tracker-heap": ("tracker", {"code": "LEAK", "kind": "mem", "direction": "own", "operation": "tracker",
        "file": "src/tracker/requests.c", "function": "serve_query"}),
    "gone-client": ("m001", {"code": "FORSAKEN", "kind": "fd", "direction": "client", "class": "connection",
        "operation": "connection", "file": "src/net/listener.c"}),
    "timer": ("m001", {"code": "LEAK", "kind": "timer", "direction": "client", "operation": "native",
        "file": "src/storage/native.c", "function": "native_op_close"}),
    "space": ("m001", {"code": "LEAK", "kind": "space", "direction": "own", "operation": "stream",
        "file": "src/disk/stream.c", "function": "stream_reserve_end"}),
}


def has_drills():
    """Builds without drills say so."""
    root = tempfile.mkdtemp(prefix="cairn-drill-")
    try:
        process = subprocess.Popen([CAIRN, "tracker", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "CAIRN_DRILL": "timer"})
        process.stdout.readline()
        process.kill()
        return b"WARN drill" in process.communicate()[1]
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Traffic(threading.Thread):
    """Uploads of several sizes, finds, errors, clients that come and go, at the first storage."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group, self.is_over, self.rounds, self.failures = group, threading.Event(), 0, []
        self.ids = []

    def run(self):
        try:
            with self.group.storages[0].connect() as connection, Connection(self.group.tracker_address) as tracker:
                while not self.is_over.wait(0.05):
                    self.round(connection, tracker)
        except (OSError, Closed, Refused) as error:
            self.failures.append(error)

    def round(self, connection, tracker):
        self.rounds += 1
        for size in (100, 5000, 90000 if self.rounds % 4 else 700000):
            try:
                file_id = connection.upload(os.urandom(size))["id"]
                connection.find(file_id)
                self.ids.append(file_id)
                if len(self.ids) > FILES_KEPT:
                    connection.delete(self.ids.pop(0))
            except Refused:
                pass  # what leaks runs out in the end
        try:
            file_id = connection.upload(os.urandom(50))["id"]
            connection.delete(file_id)
            connection.find(file_id)
        except Refused:
            pass  # that is what it is for
        tracker.call("query", purpose=QUERY_UPLOAD)
        if self.rounds % 4 == 0:
            with self.group.storages[0].connect(timeout=5):
                pass  # a client that goes without a word


class DoctorDrill(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-drill-", dir=memory_directory())  # a disk of others may be full
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def findings(self, group):
        code, text, talk = group.cairn("doctor", "--json")
        self.assertIn(code, (OK, FAILED), talk)
        return json.loads(text)["findings"]

    def drill(self, name):
        node, wanted = DRILLS[name]
        group = Group(self.root, 2)
        process = group.tracker if node == "tracker" else group.storages[int(node[1:]) - 1]
        process.environment = {"CAIRN_DRILL": name}
        with group:
            traffic = Traffic(group)
            traffic.start()
            begin = time.monotonic()
            seen = []
            while time.monotonic() - begin < FOUND_WITHIN_SECONDS:
                seen = self.findings(group)
                right = [it for it in seen if it["node"] == node and all(it.get(k) == v for k, v in wanted.items())]
                if right:
                    break
                time.sleep(1)
            else:
                self.fail(f"{name} was not named: {seen} ({traffic.rounds} rounds, {traffic.failures})")
            took = time.monotonic() - begin
            traffic.is_over.set()
            traffic.join()
            self.assertEqual([it for it in seen if it not in right and it["code"] not in ("LOOSE_MEMORY",)], [],
                "nothing else is found")
            self.assertIn("conn" if name == "gone-client" else wanted["kind"], right[0]["sentence"])
            print(f"{name}: {took:.0f} s: {right[0]['sentence']}")

    def test_a_descriptor_in_sync_receive(self):
        self.drill("sync-recv-fd")

    def test_a_mapping_of_length_0_in_sync_send(self):
        self.drill("sync-send-map")

    def test_a_pool_slot_on_an_error_path(self):
        self.drill("error-slot")

    def test_heap_in_an_answer_of_the_tracker(self):
        self.drill("tracker-heap")

    def test_the_connection_of_a_client_that_is_gone(self):
        self.drill("gone-client")

    def test_a_timer_that_is_never_cancelled(self):
        self.drill("timer")

    def test_reserved_space_that_is_never_returned(self):
        self.drill("space")

    def test_nothing_is_found_in_a_healthy_group_under_the_same_traffic(self):
        with Group(self.root, 2) as group:
            traffic = Traffic(group)
            traffic.start()
            end = time.monotonic() + HEALTHY_SECONDS
            while time.monotonic() < end:
                self.assertEqual(self.findings(group), [])
                self.assertTrue(traffic.is_alive(), traffic.failures)
                time.sleep(2)
            traffic.is_over.set()
            traffic.join()
            print(f"healthy: {HEALTHY_SECONDS} s, {traffic.rounds} rounds, nothing found")


if __name__ == "__main__":
    enter_namespace()
    if not has_drills():
        print("this build has no drills: OK (skipped=8)")
        raise SystemExit(0)
    unittest.main(verbosity=2)
