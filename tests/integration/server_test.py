"""cairn up as a server: ready line, configuration, refusals, signals."""

import json
import os
import signal
import subprocess
import unittest

from cluster import CAIRN, OK, USAGE, ClusterTest, Server


class Up(ClusterTest):
    def up(self, *words, code=OK):
        result = subprocess.run([CAIRN, "up", *words], capture_output=True, text=True, timeout=30)
        self.talk = result.stderr
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout

    def test_the_ready_line_names_the_addresses(self):
        self.assertIs(self.server.ready["ready"], True)
        for role in ("tracker", "storage"):
            host, _, port = self.server.ready[role].rpartition(":")
            self.assertEqual(host, "127.0.0.1")
            self.assertGreater(int(port), 0)

    def test_the_ready_line_for_people(self):
        process = subprocess.Popen([CAIRN, "up", "--data", self.path("d"), "--port", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), OK)
        process.stdout.close()
        self.assertRegex(line, r"^ready tracker=127\.0\.0\.1:\d+ storage=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+ http_tracker=127\.0\.0\.1:\d+ io=(io_uring|epoll)\n$")

    def test_the_log_tells_the_budget(self):
        with open(self.server.log_path) as log:
            self.assertRegex(log.read(), r"descriptor")

    def test_check_prints_the_effective_configuration_and_starts_nothing(self):
        output = self.up("--check", "--data", self.path("none"), "--port", "7801")
        self.assertIn("7801", output)
        self.assertFalse(os.path.exists(self.path("none")))

    def test_an_unknown_key_is_refused_with_line_and_remedy(self):
        config = self.write("c.ini", b"# comment\nport = 0\nprot = 1\n")
        self.up("--config", config, "--check", code=USAGE)
        self.assertIn("c.ini:3", self.talk)
        self.assertIn("port", self.talk)

    def test_a_bad_unit_is_refused_with_its_line(self):
        config = self.write("c.ini", b"port = many\n")
        self.up("--config", config, "--check", code=USAGE)
        self.assertIn("c.ini:1", self.talk)

    def test_an_impossible_sum_is_refused(self):
        self.up("--check", "--streams", "255", "--log-buffer-size", "64MiB", "--log-segment-size", "128MiB",
            "--data", self.path("d"), code=USAGE)
        self.assertIn("memory", self.talk)

    def test_listening_beyond_loopback_needs_a_secret_or_a_loud_wish(self):
        self.up("--data", self.path("d"), "--host", "0.0.0.0", code=USAGE)
        self.assertIn("--insecure-listen", self.talk)

    def test_a_port_that_is_taken_is_said(self):
        port = self.server.tracker.rpartition(":")[2]
        result = subprocess.run([CAIRN, "up", "--data", self.path("d"), "--port", port],
            capture_output=True, text=True, timeout=30)
        self.assertNotEqual(result.returncode, OK)
        self.assertIn(port, result.stderr)

    def test_a_data_directory_in_use_is_refused(self):
        result = subprocess.run([CAIRN, "up", "--data", self.server.data, "--port", "0"],
            capture_output=True, text=True, timeout=30)
        self.assertNotEqual(result.returncode, OK)

    def test_a_foreign_file_as_directory_is_refused(self):
        path = self.write("file", b"")
        result = subprocess.run([CAIRN, "up", "--data", path, "--port", "0"],
            capture_output=True, text=True, timeout=30)
        self.assertNotEqual(result.returncode, OK)


class Secrets(ClusterTest):
    def test_a_client_without_the_secret_is_denied(self):
        secret = self.write("secret", b"open sesame, please\n")
        wrong = self.write("wrong", b"open barley, please\n")
        server = Server(self.path("d"), "--client-secret-file", secret)
        self.addCleanup(server.kill)
        self.cairn("status", code=4, tracker=server.tracker)
        self.cairn("status", "--secret-file", wrong, code=4, tracker=server.tracker)
        self.cairn("status", "--secret-file", secret, tracker=server.tracker)


if __name__ == "__main__":
    unittest.main()
