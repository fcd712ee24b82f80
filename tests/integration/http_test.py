"""The HTTP door of real processes: what it serves, what it refuses, and clients that others wrote."""

import concurrent.futures
import email
import email.policy
import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import time
import unittest

from cluster import ClusterTest, Server


class HttpTest(ClusterTest):
    flags = ["--loops", "2", "--http-cors", "https://app.example https://b.example"]

    def setUp(self):
        super().setUp()
        self.address = self.server.ready["http"]
        self.connection = http.client.HTTPConnection(self.address, timeout=30)
        self.addCleanup(self.connection.close)

    def ask(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        response.content = response.read()
        return response

    def store(self, content, path="/default/a.txt", headers=None):
        response = self.ask("PUT", path, content, headers)
        self.assertEqual(response.status, 201, response.content)
        return response.headers["Location"]

    def raw(self, text):
        """Send bytes, return everything until the server closes or is silent."""
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as peer:
            peer.sendall(text)
            peer.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while piece := peer.recv(65536):
                    got += piece
            except socket.timeout:
                pass
            return got


class ServingTest(HttpTest):
    def test_what_is_stored_is_found(self):
        for size in (0, 1, 100, 5000, 70_000, 300_000, 3_000_000):
            content = random.Random(size).randbytes(size)
            where = self.store(content)
            response = self.ask("GET", where)
            self.assertEqual((response.status, response.content), (200, content))
            self.assertEqual(response.headers["Content-Type"], "text/plain; charset=utf-8")
            head = self.ask("HEAD", where)
            self.assertEqual((head.status, head.content), (200, b""))
            self.assertEqual(head.headers["Content-Length"], str(size))

    def test_the_answer_of_an_upload_says_all(self):
        response = self.ask("POST", "/default?suffix=jpg", b"hello")
        said = json.loads(response.content)
        self.assertEqual((said["size"], said["crc32"], said["ack"], said["version"]),
                         (5, "3610a686", "local", "1.1"))
        self.assertEqual(response.headers["Location"], "/" + said["id"])
        self.assertEqual(response.headers["ETag"], '"1.1"')
        self.assertTrue(said["id"].endswith(".jpg"))
        self.assertEqual(self.cairn("get", said["id"]), b"hello")

    def test_native_uploads_are_served_and_the_other_way_round(self):
        path = self.write("x.png", b"png")
        file_id = self.cairn("put", path).decode().split("\t")[0]
        response = self.ask("GET", "/" + file_id)
        self.assertEqual((response.content, response.headers["Content-Type"]), (b"png", "image/png"))

    def test_chunked_uploads(self):
        pieces = [random.Random(i).randbytes(1 + i * 997) for i in range(60)]
        self.connection.request("PUT", "/default/x", body=iter(pieces), encode_chunked=True,
                                headers={"Transfer-Encoding": "chunked"})
        response = self.connection.getresponse()
        where = json.loads(response.read())["id"]
        self.assertEqual(self.ask("GET", "/" + where).content, b"".join(pieces))

    def test_content_type_and_save_as(self):
        where = self.store(b"x", headers={"Content-Type": "image/webp"})
        response = self.ask("GET", where + "?download=my%20%22file%22.webp")
        self.assertEqual(response.headers["Content-Type"], "image/webp")
        self.assertEqual(response.headers["Content-Disposition"], 'attachment; filename="my _file_.webp"')
        self.assertEqual(self.ask("GET", where + "?download").headers["Content-Disposition"], "attachment")

    def test_cache_control_follows_mutability(self):
        where = self.store(b"x", "/default/a?mutable=0")
        self.assertEqual(self.ask("GET", where).headers["Cache-Control"], "public, max-age=31536000, immutable")
        self.assertEqual(self.ask("GET", self.store(b"x")).headers["Cache-Control"], "no-cache")
        response = self.ask("PUT", where, b"y")
        self.assertEqual(response.status, 405)


class RangeTest(HttpTest):
    def test_single_ranges(self):
        content = random.Random(1).randbytes(500_000)
        where = self.store(content)
        for value, first, last in (("0-0", 0, 0), ("100-199", 100, 199), ("499990-", 499990, 499999),
                                   ("-10", 499990, 499999), ("0-999999", 0, 499999)):
            response = self.ask("GET", where, headers={"Range": "bytes=" + value})
            self.assertEqual(response.status, 206)
            self.assertEqual(response.content, content[first:last + 1])
            self.assertEqual(response.headers["Content-Range"], f"bytes {first}-{last}/500000")

    def test_several_ranges_come_as_parts(self):
        content = random.Random(2).randbytes(400_000)
        where = self.store(content, headers={"Content-Type": "video/mp4"})
        wanted = [(0, 9), (1000, 299_999), (399_999, 399_999)]
        response = self.ask("GET", where, headers={
            "Range": "bytes=" + ",".join(f"{a}-{b}" for a, b in wanted)})
        self.assertEqual(response.status, 206)
        message = email.message_from_bytes(
            b"Content-Type: " + response.headers["Content-Type"].encode() + b"\r\n\r\n" + response.content,
            policy=email.policy.HTTP)
        parts = list(message.iter_parts())
        self.assertEqual(len(parts), 3)
        for part, (first, last) in zip(parts, wanted):
            self.assertEqual(part["Content-Range"], f"bytes {first}-{last}/400000")
            self.assertEqual(part["Content-Type"], "video/mp4")
        at = 0
        for first, last in wanted:
            at = response.content.index(content[first:last + 1], at)

    def test_what_cannot_be_met_is_416_and_what_is_no_range_is_ignored(self):
        where = self.store(b"0123456789")
        response = self.ask("GET", where, headers={"Range": "bytes=10-"})
        self.assertEqual((response.status, response.headers["Content-Range"]), (416, "bytes */10"))
        for value in ("bytes=5-4", "lines=0-1", "bytes=", "bytes=" + ",".join(["0-0"] * 50)):
            self.assertEqual(self.ask("GET", where, headers={"Range": value}).status, 200)


class ConditionTest(HttpTest):
    def test_validators(self):
        where = self.store(b"one")
        first = self.ask("GET", where)
        tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
        for headers, status in (
                ({"If-None-Match": tag}, 304), ({"If-None-Match": 'W/%s, "x"' % tag}, 304),
                ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"9.9"'}, 200),
                ({"If-Modified-Since": modified}, 304),
                ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
                ({"If-Match": tag}, 200), ({"If-Match": '"9.9"'}, 412), ({"If-Match": "W/" + tag}, 412),
                ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
                ({"If-Range": tag, "Range": "bytes=0-0"}, 206),
                ({"If-Range": '"9.9"', "Range": "bytes=0-0"}, 200),
                ({"If-Range": modified, "Range": "bytes=0-0"}, 206)):
            response = self.ask("GET", where, headers=headers)
            self.assertEqual(response.status, status, headers)
            self.assertEqual(response.headers["ETag"] if status in (200, 206, 304) else tag, tag)

    def test_changes_take_conditions(self):
        where = self.store(b"one")
        self.assertEqual(self.ask("PUT", where, b"two", {"If-Match": '"1.1"'}).headers["ETag"], '"2.1"')
        for wrong in ('"1.1"', '"x"', 'W/"2.1"'):
            response = self.ask("PUT", where, b"bad", {"If-Match": wrong})
            self.assertEqual((response.status, json.loads(response.content)["error"]), (412, "conflict"))
            self.assertEqual(self.ask("DELETE", where, headers={"If-Match": wrong}).status, 412)
        self.assertEqual(self.ask("GET", where).content, b"two")
        self.assertEqual(self.ask("DELETE", where, headers={"If-Match": '"2.1"'}).status, 204)


class ChangeTest(HttpTest):
    def test_every_way_to_change(self):
        where = self.store(b"hello world")
        self.ask("PATCH", where, b"HELLO", {"Content-Range": "bytes 0-4/*"})
        self.assertEqual(self.ask("GET", where).content, b"HELLO world")
        self.ask("POST", where + "?append", b"!!")
        self.assertEqual(self.ask("GET", where).content, b"HELLO world!!")
        self.ask("PATCH", where + "?truncate=5")
        self.assertEqual(self.ask("GET", where).content, b"HELLO")
        big = random.Random(3).randbytes(400_000)
        self.ask("PUT", where, big)
        self.assertEqual(self.ask("GET", where).content, big)
        self.assertEqual(self.ask("DELETE", where).status, 204)
        self.assertEqual(self.ask("GET", where).status, 404)
        self.assertEqual(self.ask("DELETE", where).status, 204)

    def test_what_makes_no_sense_is_refused(self):
        where = self.store(b"hello")
        for method, path, body, headers, status in (
                ("PATCH", where, b"x", {}, 400),
                ("PATCH", where + "?truncate=x", None, {}, 400),
                ("PATCH", where + "?append", b"x", {"Content-Range": "bytes 0-0/*"}, 400),
                ("PATCH", where, b"xy", {"Content-Range": "bytes 0-0/*"}, 400),
                ("PATCH", where, b"x", {"Content-Range": "bytes 100-100/*"}, 416),
                ("PUT", "/default/a", b"x", {"X-Cairn-Ack": "maybe"}, 400),
                ("PUT", "/other/a", b"x", {}, 404), ("GET", "/default/a", None, {}, 404),
                ("PUT", "/default/a", b"x", {"X-Cairn-Nonce": "xyz"}, 400),
                ("TRACE", where, None, {}, 405)):
            response = self.ask(method, path, body, headers)
            self.assertEqual(response.status, status, (method, path))
            self.assertEqual(json.loads(response.content)["status"], status)
        self.assertEqual(self.ask("GET", where).content, b"hello")

    def test_a_repeated_change_is_done_once(self):
        where = self.store(b"a")
        nonce = {"X-Cairn-Nonce": os.urandom(16).hex()}
        tags = {self.ask("POST", where + "?append", b"b", nonce).headers["ETag"] for _ in range(3)}
        self.assertEqual((tags, self.ask("GET", where).content), ({'"2.1"'}, b"ab"))


class FormTest(HttpTest):
    def test_a_browsers_form_stores_its_file(self):
        content = random.Random(4).randbytes(300_000)
        boundary = "----WebKitFormBoundaryABC"
        body = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nMy cat\r\n"
                f"--{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"cat.png\"\r\n"
                "Content-Type: image/png\r\n\r\n").encode() + content + f"\r\n--{boundary}--\r\n".encode()
        response = self.ask("POST", "/default", body,
                            {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        self.assertEqual(response.status, 201)
        where = response.headers["Location"]
        self.assertTrue(where.endswith(".png"))
        found = self.ask("GET", where)
        self.assertEqual((found.content, found.headers["Content-Type"]), (content, "image/png"))

    def test_a_form_without_its_end_stores_nothing(self):
        body = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nabc"
        before = self.cairn("ls")
        response = self.ask("POST", "/default", body, {"Content-Type": "multipart/form-data; boundary=x"})
        self.assertEqual(response.status, 400)
        self.assertEqual(self.cairn("ls"), before)


class CorsTest(HttpTest):
    def test_only_the_origins_that_were_named(self):
        where = self.store(b"x")
        allowed = self.ask("GET", where, headers={"Origin": "https://b.example"})
        self.assertEqual(allowed.headers["Access-Control-Allow-Origin"], "https://b.example")
        other = self.ask("GET", where, headers={"Origin": "https://evil.example"})
        self.assertIsNone(other.headers["Access-Control-Allow-Origin"])
        before = self.ask("OPTIONS", where, headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"})
        self.assertEqual(before.status, 204)
        self.assertIn("PATCH", before.headers["Access-Control-Allow-Methods"])


class HostileTest(HttpTest):
    def test_smuggling_is_refused(self):
        where = self.store(b"x").encode()
        for bad in (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                    b"Transfer-Encoding: xchunked\r\n", b"X: y\r\n folded: z\r\n", b"X : y\r\n", b"X: a\nY: b\r\n",
                    b"Host: other\r\n", b"Content-Length: -1\r\n", b"Content-Length: 0x5\r\n"):
            got = self.raw(b"PUT " + where + b" HTTP/1.1\r\nHost: h\r\n" + bad + b"\r\nhello" * 2)
            self.assertIn(got[:12], (b"HTTP/1.1 400", b"HTTP/1.1 501"), bad)
            self.assertEqual(got.count(b"HTTP/1.1"), 1, bad)
        self.assertEqual(self.ask("GET", where.decode()).content, b"x")

    def test_traversal_and_nonsense_paths(self):
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/g1/M00/../../x", "/g1/M00/00/01/x", "//", "/g1",
                     "/g1/M00/00/01/" + "A" * 27, "/" + "a" * 7000):
            self.assertEqual(self.ask("GET", path).status, 404, path)
        self.assertEqual(self.raw(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n")[:12], b"HTTP/1.1 414")
        self.assertEqual(self.raw(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 101 + b"\r\n")[:12], b"HTTP/1.1 431")

    def test_a_body_that_ends_early_stores_nothing(self):
        before = self.cairn("ls")
        host, port = self.address.rsplit(":", 1)
        for size in (10, 100_000, 1_000_000):
            with socket.create_connection((host, int(port))) as peer:
                peer.sendall(b"PUT /default/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
                peer.sendall(b"x" * (size - 1))
        self.assertEqual(self.ask("GET", "/g1").status, 404)
        self.assertEqual(self.cairn("ls"), before)

    def test_oversized_bodies_are_refused_before_they_come(self):
        before = self.cairn("ls")
        for size, statuses in ((10**14, (413, 507)), (2**63 - 1, (413, 507)), (2**64, (400, 413)), (10**30, (400, 413))):
            for method, path in (("PUT", "/default/big"), ("POST", "/default")):
                got = self.raw(b"%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nx" % (
                    method.encode(), path.encode(), size))
                self.assertIn(int(got[9:12] or b"0"), statuses, (size, got[:300]))
        got = self.raw(b"PUT /default/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx")
        self.assertIn(got[9:12], (b"400", b"413"), got[:300])
        self.assertEqual(self.cairn("ls"), before)

    def test_many_connections_at_once(self):
        where = self.store(b"y" * 4096)

        def fetch(_):
            connection = http.client.HTTPConnection(self.address, timeout=30)
            connection.request("GET", where)
            response = connection.getresponse()
            answer = response.status, len(response.read())
            connection.close()
            return answer
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            self.assertEqual(set(pool.map(fetch, range(400))), {(200, 4096)})


class InLineTest(HttpTest):
    """More requests at once than the door has room for: they stand in line."""

    flags = ["--loops", "1", "--http-request-max", "2"]

    def connect(self):
        host, port = self.address.rsplit(":", 1)
        peer = socket.create_connection((host, int(port)), timeout=30)
        self.addCleanup(peer.close)
        return peer

    def test_all_are_served_in_turn_and_who_leaves_holds_nobody_up(self):
        content = random.Random(7).randbytes(1 << 20)
        where = self.store(content)
        ask = f"GET {where} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        slow = [self.connect() for _ in range(2)]  # they have the room, and take their answers late
        for peer in slow:
            peer.sendall(ask)
        for peer in slow:
            self.assertTrue(peer.recv(1))
        waiting = [self.connect() for _ in range(40)]
        for peer in waiting:
            peer.sendall(ask)
        for peer in waiting[::3]:
            peer.close()
        for peer in slow:
            peer.close()
        for number, peer in enumerate(waiting):
            if number % 3:
                response = http.client.HTTPResponse(peer)
                response.begin()
                self.assertEqual(response.status, 200)
                self.assertTrue(response.read() == content)
        self.assertEqual(self.ask("GET", where).content, content)

    def test_a_server_that_stops_leaves_nobody_in_line(self):
        where = self.store(random.Random(8).randbytes(4 << 20))
        peers = [self.connect() for _ in range(10)]
        for peer in peers:
            peer.sendall(f"GET {where} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for peer in peers[:2]:
            self.assertTrue(peer.recv(1))
        for peer in peers:
            peer.close()
        self.assertEqual(self.server.stop(), 0)
        self.server.start()


class SlowTest(HttpTest):
    flags = ["--loops", "1", "--http-head-timeout", "500ms", "--http-connection-max", "16"]

    def get_alone(self, where):
        """On a connection of its own; None: there was no place."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", where)
            response = connection.getresponse()
            return response.status, response.read()
        except (ConnectionError, http.client.RemoteDisconnected):
            return None
        finally:
            connection.close()

    def heard(self, peer):
        try:
            return peer.recv(100)[:12]
        except OSError:
            return b""

    def test_slow_heads_hold_nobody_up_for_longer_than_their_time(self):
        where = self.store(b"served")
        host, port = self.address.rsplit(":", 1)
        peers = []
        for _ in range(40):
            peer = socket.create_connection((host, int(port)), timeout=5)
            self.addCleanup(peer.close)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-a: ")
            peers.append(peer)
        end = time.monotonic() + 20
        while True:
            for peer in peers:
                try:
                    peer.sendall(b"b")
                except OSError:
                    pass  # it was cut, as it should
            if self.get_alone(where) == (200, b"served"):
                break
            self.assertLess(time.monotonic(), end, "slow heads hold the door")
            time.sleep(0.05)  # the clients' slowness is what is tested
        self.assertIn(b"HTTP/1.1 408", map(self.heard, peers))


class SignedTest(HttpTest):
    secret = b"a secret of the http door"

    @classmethod
    def make_server(cls):
        path = os.path.join(cls.root, "secret")
        key = os.path.join(cls.root, "key")
        for name, content in ((path, cls.secret), (key, b"FastDFS1234567890")):
            with open(name, "wb") as file:
                file.write(content + b"\n")
        return Server(os.path.join(cls.root, "data"), "--http-read", "signed", "--http-write", "signed",
                      "--http-secret-file", path, "--http-token-secret-file", key, "--http-token-ttl", "100s")

    def signed(self, method, path, expires):
        text = f"{method}\n{path}\n{expires}".encode()
        return f"{path}?expires={expires}&signature={hmac.new(self.secret, text, hashlib.sha256).hexdigest()}"

    def test_only_signed_urls_that_have_not_expired(self):
        soon, past = int(time.time()) + 100, int(time.time()) - 1
        self.assertEqual(self.ask("PUT", "/default/a", b"x").status, 403)
        response = self.ask("PUT", self.signed("PUT", "/default/a", soon), b"x")
        self.assertEqual(response.status, 201)
        where = response.headers["Location"]
        good = self.signed("GET", where, soon)
        self.assertEqual(self.ask("GET", good).content, b"x")
        self.assertEqual(self.ask("HEAD", good).status, 200)
        for bad in (where, self.signed("GET", where, past), good[:-1] + ("1" if good[-1] == "0" else "0"), self.signed("PUT", where, soon),
                    good.replace(str(soon), str(soon + 1))):
            self.assertEqual(self.ask("GET", bad).status, 403, bad)
        self.assertEqual(self.ask("DELETE", good).status, 403)
        self.assertEqual(self.ask("DELETE", self.signed("DELETE", where, soon)).status, 204)

    def token(self, where, at, key=b"FastDFS1234567890"):
        name = where.lstrip("/").partition("/")[2].encode()
        return f"{where}?token={hashlib.md5(name + key + str(at).encode()).hexdigest()}&ts={at}"

    def test_tokens_of_fastdfs_are_good_for_reading_until_they_expire(self):
        now = int(time.time())
        where = self.ask("PUT", self.signed("PUT", "/default/a.txt", now + 100), b"x").headers["Location"]
        for at in (now, now - 80, now + 50):
            self.assertEqual(self.ask("GET", self.token(where, at)).content, b"x", at)
        self.assertEqual(self.ask("HEAD", self.token(where, now) + "&download").status, 200)
        for bad in (self.token(where, now - 110), self.token(where, now, b"another"),
                    self.token(where, now).replace(f"ts={now}", f"ts={now + 1}"), self.token(where, now)[:-20],
                    self.token(where, now).replace("token", "tok"), where + "?token=&ts=", where + f"?ts={now}"):
            self.assertEqual(self.ask("GET", bad).status, 403, bad)
        self.assertEqual(self.ask("DELETE", self.token(where, now)).status, 403)


@unittest.skipUnless(shutil.which("curl") and shutil.which("wget"), "curl and wget are wanted")
class StrangersTest(HttpTest):
    def run_tool(self, *words):
        return subprocess.run(words, capture_output=True, timeout=60, cwd=self.dir, check=True).stdout

    def test_curl_puts_gets_and_resumes(self):
        content = random.Random(5).randbytes(2_000_000)
        path = self.write("big.bin", content)
        said = json.loads(self.run_tool("curl", "-sS", "-f", "-T", path, f"http://{self.address}/default/big.bin"))
        url = f"http://{self.address}/{said['id']}"
        self.run_tool("curl", "-sS", "-f", "-r", "0-999999", "-o", "part", url)
        self.run_tool("curl", "-sS", "-f", "-C", "-", "-o", "part", url)
        self.assertEqual(self.read("part"), content)
        form = json.loads(self.run_tool("curl", "-sS", "-f", "-F", f"file=@{path};type=image/gif",
                                        f"http://{self.address}/default"))
        self.assertEqual(self.run_tool("curl", "-sS", "-f", f"http://{self.address}/{form['id']}"), content)

    def test_wget_resumes_and_asks_for_news(self):
        content = random.Random(6).randbytes(1_000_000)
        where = self.store(content, "/default/w.bin")
        name = where.rsplit("/", 1)[1]
        self.write(name, content[:300_000])
        self.run_tool("wget", "-q", "-c", f"http://{self.address}{where}")
        self.assertEqual(self.read(name), content)
        self.run_tool("wget", "-q", "-N", f"http://{self.address}{where}")


if __name__ == "__main__":
    unittest.main()
