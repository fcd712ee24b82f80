"""The HTTP door under clients that others wrote: ab, wrk, nginx in front (proxy and cache), rclone. What is not
installed is skipped, each by itself."""

import hashlib
import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

from group import free_port
from http_test import HttpTest


def needs(program):
    return unittest.skipUnless(shutil.which(program) or os.path.exists("/usr/sbin/" + program), f"{program} is wanted")


class ClientsTest(HttpTest):
    def run_tool(self, *words, timeout=60, **more):
        result = subprocess.run(words, capture_output=True, timeout=timeout, cwd=self.dir, **more)
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-2000:])
        return result.stdout.decode(errors="replace")

    def url(self, path):
        return f"http://{self.address}{path}"


class LoadTest(ClientsTest):
    @needs("ab")
    def test_ab_gets_and_posts_without_a_failure(self):
        where = self.store(random.Random(1).randbytes(4096))
        for flags in (["-k"], []):
            said = self.run_tool("ab", "-q", "-n", "2000", "-c", "32", *flags, self.url(where))
            self.assertRegex(said, r"Complete requests: +2000")
            self.assertRegex(said, r"Failed requests: +0")
            self.assertNotIn("Non-2xx", said)
        path = self.write("post", b"x" * 3000)
        said = self.run_tool("ab", "-q", "-k", "-n", "500", "-c", "16", "-p", path, "-T", "text/plain", self.url("/default"))
        # ids differ and so do their lengths; ab calls that failed by length, never by connect, receive or exception
        self.assertRegex(said, r"Complete requests: +500")
        self.assertNotIn("Non-2xx", said)
        self.assertNotRegex(said, r"Connect: [1-9]|Receive: [1-9]|Exceptions: [1-9]")

    @needs("wrk")
    def test_wrk_sees_no_errors(self):
        where = self.store(random.Random(2).randbytes(4096))
        said = self.run_tool("wrk", "-t", "1", "-c", "64", "-d", "2", self.url(where))
        self.assertGreater(int(re.search(r"(\d+) requests in", said)[1]), 100)
        self.assertNotIn("Socket errors", said)
        self.assertNotIn("Non-2xx", said)


NGINX = """
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s;
  client_max_body_size 100m;
  proxy_cache_path {dir}/cache keys_zone=c:1m;
  upstream cairn {{ server {address}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://cairn; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_force_ranges on;
      proxy_cache c; proxy_cache_revalidate on; proxy_cache_methods GET HEAD;
      add_header X-Cache $upstream_cache_status;
    }}
  }}
}}
"""


@needs("nginx")
class NginxTest(ClientsTest):
    def setUp(self):
        super().setUp()
        self.behind = self.address
        port = free_port("127.0.0.1")
        config = self.write("nginx.conf", NGINX.format(dir=self.dir, address=self.behind, port=port).encode())
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.nginx = subprocess.Popen([nginx, "-p", self.dir, "-c", config, "-e", self.path("error.log")])
        self.addCleanup(self.end_nginx)
        self.address = f"127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection(self.address, timeout=30)
        self.addCleanup(self.connection.close)
        self.wait_until_it_listens()

    def end_nginx(self):
        self.nginx.send_signal(signal.SIGTERM)
        self.nginx.wait(20)

    def wait_until_it_listens(self):
        end = time.monotonic() + 20
        host, port = self.address.split(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return
            except OSError:
                self.assertLess(time.monotonic(), end)
                self.assertIsNone(self.nginx.poll())
                time.sleep(0.05)  # a process of its own has no event to offer us

    def test_everything_works_through_it(self):
        for size in (0, 1, 70_000, 3_000_000):
            content = random.Random(size).randbytes(size)
            where = self.store(content)
            response = self.ask("GET", where)
            self.assertEqual((response.status, response.content), (200, content))
        self.assertEqual(self.ask("GET", where, headers={"Range": "bytes=5-9"}).content, content[5:10])
        chunks = (content[at : at + 50_000] for at in range(0, len(content), 50_000))
        where = self.store(chunks)
        self.assertEqual(self.ask("GET", where).content, content)
        self.assertEqual(self.ask("PATCH", where + "?append", b"tail").status, 200)
        self.assertEqual(self.ask("DELETE", where).status, 204)

    def test_what_never_changes_is_served_from_its_cache(self):
        where = self.ask("PUT", "/default/c.txt?mutable=0", b"for ever").headers["Location"]
        first, again = self.ask("GET", where), self.ask("GET", where)
        self.assertEqual([first.headers["X-Cache"], again.headers["X-Cache"]], ["MISS", "HIT"])
        self.assertEqual(again.content, b"for ever")

    def test_what_may_change_is_asked_for_again_and_never_old(self):
        where = self.store(b"one")
        self.assertEqual(self.ask("GET", where).content, b"one")
        self.assertEqual(self.ask("PUT", where, b"two").status, 200)
        self.assertEqual(self.ask("GET", where).content, b"two")
        self.assertNotEqual(self.ask("GET", where).headers["X-Cache"], "HIT")


class OthersTest(ClientsTest):
    @needs("rclone")
    def test_rclones_http_remote_copies_files(self):
        content = random.Random(9).randbytes(1_500_000)
        where = self.store(content, "/default/r.bin").lstrip("/")
        config = self.write("rclone.conf", f"[c]\ntype = http\nurl = http://{self.address}/\n".encode())
        self.run_tool("rclone", "--config", config, "copyto", f"c:{where}", self.path("got.bin"))
        self.assertEqual(hashlib.sha256(self.read("got.bin")).digest(), hashlib.sha256(content).digest())
        self.run_tool("rclone", "--config", config, "copyurl", self.url("/" + where), self.path("url.bin"))
        self.assertEqual(self.read("url.bin"), content)


if __name__ == "__main__":
    unittest.main()
