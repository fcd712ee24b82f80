"""HTTP in a cluster: the tracker's door, and storages that are asked for what others have."""

import concurrent.futures
import http.client
import json
import os
import random
import shutil
import socket
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


class RedirectTest(ClusterTest):
    def test_a_storage_redirects_to_who_has_the_file(self):
        where = self.store("papers", b"elsewhere")
        wrong = self.storages[0].ready["http"]
        response = self.ask(wrong, "GET", where)
        self.assertEqual(response.headers["Location"], f"http://{self.storages[1].ready['http']}{where}")
        self.assertEqual(self.follow(wrong, "GET", where).content, b"elsewhere")
        self.assertEqual(self.follow(wrong, "PATCH", where + "?append", b"!").status, 200)
        self.assertEqual(self.follow(wrong, "GET", where).content, b"elsewhere!")
        self.assertEqual(self.follow(wrong, "DELETE", where).status, 204)
        self.assertEqual(self.follow(wrong, "GET", where).status, 404)

    def test_an_upload_goes_to_who_has_the_pool(self):
        response = self.follow(self.storages[0].ready["http"], "PUT", "/papers/b.txt", b"there")
        self.assertTrue(response.headers["Location"].startswith("/g2/"))

    def test_names_of_fastdfs_in_other_groups_are_sent_on_too(self):
        response = self.ask(self.storages[0].ready["http"], "GET", "/g2/M00/00/00/wKgABFxCd4CAcmnxAAAAAOsHuOs123_s.jpg")
        self.assertEqual(response.status, 307)

    def test_what_was_sent_on_once_is_not_sent_on_again(self):
        where = self.store("papers", b"x")
        response = self.ask(self.storages[0].ready["http"], "GET", where, headers={"X-Cairn-Sent-On": "1"})
        self.assertEqual(response.status, 404)

    def test_what_nobody_has_is_refused(self):
        for path, method, status in (("/g7/M00/00/00/wKgABFxCd4CAcmnxAAAAAOsHuOs123.txt", "GET", 404),
                ("/nopool/a", "PUT", 404), ("/papers/" + "n" * 500, "PUT", 414)):
            response = self.ask(self.storages[0].ready["http"], method, path, b"" if method == "PUT" else None)
            self.assertEqual((response.status, json.loads(response.content)["status"]), (status, status), path)


class ProxyTest(ClusterTest):
    flags = ["--http-elsewhere", "proxy", "--loops", "2"]

    def setUp(self):
        self.wrong = self.storages[0].ready["http"]

    def test_files_of_any_size_come_through(self):
        for size in (0, 1, 5000, 70_000, 3_000_000):
            content = random.Random(size).randbytes(size)
            where = self.store("papers", content)
            response = self.ask(self.wrong, "GET", where)
            self.assertEqual((response.status, response.content), (200, content))
            self.assertEqual(response.headers["Connection"], "close")
            head = self.ask(self.wrong, "HEAD", where)
            self.assertEqual((head.status, head.headers["Content-Length"]), (200, str(size)))

    def test_conditions_and_ranges_go_along(self):
        where = self.store("papers", b"0123456789")
        response = self.ask(self.wrong, "GET", where, headers={"Range": "bytes=2-4"})
        self.assertEqual((response.status, response.content), (206, b"234"))
        tag = self.ask(self.wrong, "GET", where).headers["ETag"]
        self.assertEqual(self.ask(self.wrong, "GET", where, headers={"If-None-Match": tag}).status, 304)
        self.assertEqual(self.ask(self.wrong, "PUT", where, b"x", {"If-Match": '"9.9"'}).status, 412)

    def test_uploads_with_length_and_in_chunks_go_through(self):
        for size in (0, 10, 20_000, 2_000_000):
            content = random.Random(size).randbytes(size)
            for body in (content, (content[at : at + 7001] for at in range(0, size, 7001))):
                response = self.ask(self.wrong, "PUT", "/papers/c.bin", body)
                self.assertEqual(response.status, 201, response.content)
                where = response.headers["Location"]
                self.assertTrue(where.startswith("/g2/"))
                self.assertEqual(self.ask(self.wrong, "GET", where).content, content)
            self.assertEqual(self.ask(self.wrong, "DELETE", where).status, 204)

    def test_who_expects_100_is_told_by_the_proxy(self):
        content = os.urandom(3_000_000)
        path = os.path.join(self.root, "long")
        with open(path, "wb") as file:
            file.write(content)
        result = subprocess.run(["curl", "-s", "-H", "Expect: 100-continue", "-T", path,
            f"http://{self.wrong}/papers/long.bin"], capture_output=True, timeout=60)
        where = "/" + json.loads(result.stdout)["id"]
        self.assertEqual(self.ask(self.wrong, "GET", where).content, content)

    def test_clients_that_vanish_leave_nothing_behind(self):
        where = self.store("papers", os.urandom(2_000_000))
        host, port = self.wrong.rsplit(":", 1)
        before = len(os.listdir(f"/proc/{self.storages[0].process.pid}/fd")) + 2  # each loop's connection to a tracker
        for text in (f"GET {where} HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /papers/x HTTP/1.1\r\nHost: h\r\n"
                "Content-Length: 1000000\r\n\r\n" + "x" * 50_000):
            for _ in range(5):
                with socket.create_connection((host, int(port)), timeout=5) as peer:
                    peer.sendall(text.encode())
                    peer.recv(100) if text.startswith("GET") else None
        end = time.monotonic() + 20
        while len(os.listdir(f"/proc/{self.storages[0].process.pid}/fd")) > before:
            self.assertLess(time.monotonic(), end, "descriptors of vanished clients stay")
            time.sleep(0.05)
        self.assertEqual(len(self.ask(self.wrong, "GET", where).content), 2_000_000)

    def test_many_at_once_are_served_or_redirected(self):
        content = os.urandom(300_000)
        where = self.store("papers", content)

        def get(_):
            response = self.ask(self.wrong, "GET", where)
            if response.status == 307:
                response = self.ask(self.storages[1].ready["http"], "GET", where)
            return response.status, response.content == content
        with concurrent.futures.ThreadPoolExecutor(48) as pool:
            self.assertEqual(set(pool.map(get, range(200))), {(200, True)})


class GoneTest(ClusterTest):
    flags = ["--http-elsewhere", "proxy"]

    def test_who_is_gone_is_told_from_what_is_not_there(self):
        where = self.store("papers", b"x")
        self.storages[1].end(9)
        response = self.ask(self.storages[0].ready["http"], "GET", where)
        self.assertIn(response.status, (404, 502))
        self.tracker.end(9)
        response = self.ask(self.storages[0].ready["http"], "GET", where)
        self.assertEqual(response.status, 404)
        self.assertEqual(self.storages[0].end(15), 0)


if __name__ == "__main__":
    unittest.main()
