"""HTTP in a cluster: the tracker's door, and storages that are asked for what others have."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

from group import Process, free_port


class ClusterTest(unittest.TestCase):
    """A tracker, and a storage in each of two groups; g1 is in the pool `photos`, g2 in `papers`."""

    flags = []

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="cairn-test-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.tracker = cls.process("tracker", "tracker", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
        cls.storages = [cls.storage(1, "g1", "photos"), cls.storage(2, "g2", "papers")]
        cls.door = cls.tracker.ready["http_tracker"]
        cls.wait_until_both_run()

    @classmethod
    def wait_until_both_run(cls):
        end = time.monotonic() + 30
        while True:
            with urllib.request.urlopen(f"http://{cls.door}/status", timeout=10) as response:
                states = [it["state"] for it in json.load(response)["storages"]]
            if states == ["running", "running"]:
                return
            if time.monotonic() > end:
                raise AssertionError(states)
            time.sleep(0.05)  # a process of its own has no event to offer us

    @classmethod
    def process(cls, name, *words):
        process = Process(words, os.path.join(cls.root, name + ".log"))
        process.start()
        cls.addClassCleanup(process.end, 9)
        return process

    @classmethod
    def storage(cls, number, group, pool):
        data = os.path.join(cls.root, f"m{number}")
        os.mkdir(data)
        return cls.process(f"m{number}", "storage", "--machine", f"m{number:03d}", "--group", group, "--pool", pool,
            "--mount", data, "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
            "--tracker", cls.tracker.ready["tracker"], *cls.flags)

    def ask(self, address, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(address, timeout=30)
        self.addCleanup(connection.close)
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        response.content = response.read()
        return response

    def follow(self, address, method, path, body=None, headers=None):
        """One redirect, as a client does it."""
        response = self.ask(address, method, path, body, headers)
        self.assertEqual(response.status, 307, response.content)
        address, _, path = response.headers["Location"].removeprefix("http://").partition("/")
        return self.ask(address, method, "/" + path, body, headers)

    def store(self, pool, content, name="a.txt"):
        response = self.follow(self.door, "PUT", f"/{pool}/{name}", content)
        self.assertEqual(response.status, 201, response.content)
        return response.headers["Location"]


class TrackerTest(ClusterTest):
    def test_a_file_goes_to_its_pool_and_is_found_from_its_id_alone(self):
        for pool, group in (("photos", "g1"), ("papers", "g2")):
            where = self.store(pool, b"in " + pool.encode())
            self.assertTrue(where.startswith(f"/{group}/"))
            found = self.follow(self.door, "GET", where)
            self.assertEqual((found.status, found.content), (200, b"in " + pool.encode()))

    def test_changes_are_sent_to_the_storage_too(self):
        where = self.store("papers", b"one")
        self.assertEqual(self.follow(self.door, "PATCH", where + "?append", b" two").status, 200)
        self.assertEqual(self.follow(self.door, "GET", where).content, b"one two")
        self.assertEqual(self.follow(self.door, "DELETE", where).status, 204)
        self.assertEqual(self.follow(self.door, "GET", where).status, 404)

    def test_the_query_goes_along(self):
        where = self.store("photos", b"x")
        found = self.follow(self.door, "GET", where + "?download=name.txt")
        self.assertIn("name.txt", found.headers["Content-Disposition"])

    def test_storages_to_upload_to_are_assigned(self):
        response = self.ask(self.door, "GET", "/assign?pool=papers&size=100")
        said = json.loads(response.content)
        self.assertEqual((response.status, said["group"]), (200, "g2"))
        url = said["storages"][0]["url"]
        self.assertEqual(url, "http://" + self.storages[1].ready["http"])

    def test_status_is_json(self):
        response = self.ask(self.door, "GET", "/status")
        said = json.loads(response.content)
        self.assertEqual(response.headers["Content-Type"], "application/json")
        self.assertEqual(sorted(it["http_address"] for it in said["storages"]),
            sorted(it.ready["http"] for it in self.storages))
        self.assertEqual(self.ask(self.door, "HEAD", "/status").content, b"")

    def test_what_cannot_be_answered_is_refused_in_words(self):
        for method, path, status in (("GET", "/", 404), ("GET", "/photos", 404), ("PUT", "/nopool/a", 503),
                ("GET", "/g7/M00/00/00/wKgABFxCd4CAcmnxAAAAAOsHuOs123.txt", 503), ("OPTIONS", "/photos", 405),
                ("GET", "/assign", 400), ("GET", "/assign?pool=photos&size=much", 400),
                ("PUT", "/photos/" + "n" * 500, 414)):
            response = self.ask(self.door, method, path, b"" if method == "PUT" else None)
            said = json.loads(response.content)
            self.assertEqual((response.status, said["status"]), (status, status), path)
            self.assertTrue(said["message"])

    def test_a_long_body_is_not_read_before_the_redirect(self):
        path = os.path.join(self.root, "long")
        with open(path, "wb") as file:
            file.write(os.urandom(3_000_000))
        result = subprocess.run(["curl", "-sL", "-T", path, f"http://{self.door}/photos/long.bin"],
            capture_output=True, timeout=60)
        said = json.loads(result.stdout)
        self.assertEqual(said["size"], 3_000_000)


if __name__ == "__main__":
    unittest.main()
