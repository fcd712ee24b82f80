"""`cairn ops`: what is in flight, on real servers."""

import json
import socket
import time
import unittest

from cluster import NOT_FOUND, UNAVAILABLE, USAGE, ClusterTest


class OpsTest(ClusterTest):
    def slow_upload(self):
        """An HTTP upload whose body stops in the middle."""
        host, port = self.server.ready["http"].rsplit(":", 1)
        client = socket.create_connection((host, int(port)))
        client.sendall(b"POST /default HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 300000)
        self.addCleanup(client.close)
        return client

    def ops(self, *words):
        return [json.loads(line) for line in self.cairn("ops", "--json", *words).splitlines()]

    def wait_for(self, condition):
        for _ in range(100):
            found = [it for it in self.ops() if condition(it)]
            if found:
                return found
            time.sleep(0.05)
        self.fail(f"not seen: {self.ops()}")

    def test_a_request_in_flight_is_listed_with_stage_age_deadline_and_holdings(self):
        client = self.slow_upload()
        upload = self.wait_for(lambda it: it["kind"] == "upload")[0]
        self.assertEqual(upload["node"], "m001")
        self.assertEqual(upload["stage"], "pour")
        self.assertEqual(upload["direction"], "client")
        self.assertEqual(upload["deadline_ms"], 60000)
        self.assertFalse(upload["overdue"])
        self.assertGreaterEqual(upload["held"].get("slot", 0), 1)
        self.assertEqual(upload["waits"], "1 arrivals")
        text = self.cairn("ops").decode()
        self.assertRegex(text, r"m001 +upload +pour +client +- +[\d.]+ m?s\n +in this stage .* of 1m00s; holds ")
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        self.assertEqual([it for it in self.ops("--older", "1h") if it["kind"] == "upload"], [])
        client.sendall(b"x" * 700000)
        self.assertIn(b"201", client.recv(4096).split(b"\r\n")[0])
        self.assertEqual([it for it in self.ops() if it["kind"] == "upload"], [])

    def test_what_rests_is_shown_when_asked_for_and_counted_else(self):
        kinds = {it["kind"] for it in self.ops("--resting")}
        self.assertLessEqual({"log-commit", "checkpoint", "connection"}, kinds)
        self.assertNotIn("log-commit", {it["kind"] for it in self.ops()})
        self.assertRegex(self.cairn("ops").decode(), r"\d+ in flight, \d+ overdue; [1-9]\d* at rest")

    def test_one_node_is_asked_by_name_or_address(self):
        self.assertEqual({it["node"] for it in self.ops("m001", "--resting")}, {"m001"})
        address = self.server.storage
        self.assertEqual({it["node"] for it in self.ops(address, "--resting")}, {address})
        self.assertEqual(self.ops(self.server.tracker, "--resting"), [])

    def test_who_is_not_there_is_an_error(self):
        self.cairn("ops", "m009", code=NOT_FOUND)
        self.cairn("ops", "nonsense", code=USAGE)
        self.cairn("ops", "m001", "--all", code=USAGE)
        self.cairn("ops", "127.0.0.1:1", "--retries", "0", code=UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()
