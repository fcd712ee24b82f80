"""Garbage, half frames, impossible ids, a thousand silent connections: each is answered with an error or a closed
connection, and the server goes on as if nothing had been.

CAIRN_SEED=N repeats a run."""

import contextlib
import os
import random
import resource
import socket
import struct
import time
import unittest
import zlib

import native_client as native
from drill import OwnServerTest, content_of, until
from native_client import Closed, Connection, Refused, encode_fields, encode_frame, encode_request

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
ANSWER_SECONDS = 5
SILENT = 1000
HELLO = encode_frame("hello", 0, encode_fields("hello", version_min=1, version_max=1, role=native.CLIENT,
    challenge=bytes(range(32))))


def header(magic=b"CRN1", version=1, kind=18, flags=0, request=1, meta_size=0, data_size=0, crc=0, head_crc=None):
    """A header with any lie in it; its own CRC is right unless given."""
    head = native.HEADER.pack(magic, version, kind, flags, request, meta_size, data_size, crc)
    return head + struct.pack("<I", zlib.crc32(head) if head_crc is None else head_crc)


class HostileTest(OwnServerTest):
    in_memory = True

    def setUp(self):
        super().setUp()
        self.dice = random.Random(SEED)
        self.server = self.start_server()
        self.pid = self.server.pid
        self.good = self.server.connect()
        self.addCleanup(lambda: self.good.close())
        self.content = content_of(SEED, 70000)
        self.id = self.good.upload(self.content, is_mutable=0)["id"]
        self.fid = native.decode_id(self.id)
        self.base_line = self.server.descriptor_count()

    def still_good(self):
        """Same process, an old and a new client work, nothing is left open."""
        self.assertTrue(self.server.is_alive())
        self.assertEqual(self.server.pid, self.pid)
        self.assertEqual(self.good.find(self.id), self.content)
        with self.server.connect() as fresh:
            stored = fresh.upload(b"fresh")
            self.assertEqual(fresh.find(stored["id"]), b"fresh")
            fresh.delete(stored["id"])
        self.assertEqual(self.cairn("stat", self.id)[:2], b"id")
        until(lambda: self.server.descriptor_count() <= self.base_line + 2, 20, "descriptors back at the base line")


class Bytes(HostileTest):
    def test_frames_that_lie_end_the_connection(self):
        stat = encode_fields("stat", id=self.id)
        lies = {
            "magic": header(magic=b"EVIL"),
            "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "version": header(version=9),
            "flags": header(flags=0xFFFE),
            "head crc": header(head_crc=1),
            "meta size": header(meta_size=4097),
            "data size": header(data_size=262145),
            "both sizes": header(meta_size=0xFFFFFFFF, data_size=0xFFFFFFFF),
            "body crc": header(kind=24, meta_size=len(stat), crc=1) + stat,
            "request id 0": encode_frame("stat", 0, stat),
            "data without a request": encode_frame("data", 77, b"", b"x"),
            "a frame within a body": encode_frame("upload", 5, encode_fields("upload", ack=2), b"x", native.MORE)
            + encode_frame("stat", 6, stat),
            "hello again": HELLO,
        }
        opened = []  # all at once: the server leaves each a while to close first
        for address in (self.server.storage, self.server.tracker):
            for name, lie in lies.items():
                for prefix in (HELLO, b"") if name != "hello again" else (HELLO,):
                    raw = socket.create_connection(native.address_of(address), timeout=ANSWER_SECONDS)
                    self.addCleanup(raw.close)
                    raw.sendall(prefix + lie)
                    opened.append((name, bool(prefix), address, raw))
        for name, greeted, address, raw in opened:
            with self.subTest(lie=name, greeted=greeted, address=address), contextlib.suppress(ConnectionResetError):
                while raw.recv(65536):
                    pass
            raw.close()
        self.still_good()

    def test_unknown_and_broken_messages_are_refused_and_the_connection_stays(self):
        for kind, meta in ((63, b""), (19, b""), (200, b"x" * 100), (18, b""), (18, b"\xff\xff"), (16, b"\x00"), (20, b"\x05\x00ab"),
            (24, b"\xff" * 4096), (26, b"\x10\x00" + b"\xee" * 16 + b"\0" * 12), (40, b"\x04\x00what"), (64, b"")):
            with self.subTest(kind=kind, size=len(meta)):
                self.good.write(encode_frame(kind, 1 << 60, meta))
                request, reply = self.good.receive()
                self.assertEqual((request, reply.name), (1 << 60, "error"))
                self.assertTrue(reply.fields["text"])
        self.still_good()

    def test_noise(self):
        """Random bytes; and good frames with random damage."""
        frames = [HELLO, encode_request("find", 1, id=self.id, size=100), encode_request("list", 2, count_max=10),
            encode_request("upload", 3, b"noise" * 100, ack=2, nonce=os.urandom(16)), encode_request("status", 4),
            encode_request("query", 5, purpose=1)]
        for i in range(300):
            address = self.dice.choice([self.server.storage, self.server.tracker])
            data = bytearray(b"".join(self.dice.choices(frames, k=self.dice.randrange(1, 6))))
            if i % 3 == 0:
                data = bytearray(self.dice.randbytes(self.dice.randrange(1, 3000)))
            for _ in range(self.dice.randrange(1, 4)):
                data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
            with socket.create_connection(native.address_of(address), timeout=ANSWER_SECONDS) as raw:
                try:
                    raw.sendall((HELLO if i % 2 else b"") + data)
                    if i % 5:
                        raw.shutdown(socket.SHUT_WR)
                        while raw.recv(65536):
                            pass
                except (ConnectionResetError, BrokenPipeError, OSError) as error:
                    self.assertNotIsInstance(error, TimeoutError, f"seed {SEED}, {i}: neither answer nor end")
        self.still_good()

    def test_half_frames_then_gone(self):
        whole = HELLO + encode_request("upload", 1, content_of("half", 600000), ack=2, nonce=os.urandom(16))
        before = {entry[0] for entry in self.good.list()}
        for _ in range(100):
            cut = self.dice.choice([self.dice.randrange(1, 200), self.dice.randrange(1, len(whole))])
            with socket.create_connection(native.address_of(self.server.storage), timeout=ANSWER_SECONDS) as raw:
                raw.sendall(whole[:cut])
        self.still_good()
        self.assertEqual({entry[0] for entry in self.good.list()}, before, "a half upload is visible")
        until(lambda: self.server.status()["operations"] == 0, 10, "nothing in flight")

    def test_bodies_of_another_size_than_said_are_refused(self):
        for said, real in ((10, 5), (5, 10), (1 << 62, 100), ((1 << 64) - 1, 300000), (300000, 0)):
            with self.subTest(said=said, real=real), self.server.connect(timeout=ANSWER_SECONDS) as connection:
                with self.assertRaises((Refused, Closed)):
                    connection.call("upload", b"z" * real, ack=2, nonce=os.urandom(16), size_known=1, size=said)
        self.still_good()


class Ids(HostileTest):
    def refused(self, file_id, names=("USAGE", "NOT_FOUND", "WRONG_NODE", "UNSUPPORTED", "OFFLINE")):
        for kind, data, fields in (("stat", b"", {}), ("find", b"", {}), ("delete", b"", dict(ack=2)),
            ("modify", b"evil", dict(ack=2, mode=native.REPLACE))):
            try:
                reply = self.good.call(kind, data, id=file_id, **fields)
            except Refused as refusal:
                self.assertIn(refusal.name, names, file_id)
                self.assertTrue(refusal.text)
            else:
                self.assertEqual((kind, reply.fields.get("existed")), ("delete", 0), f"{kind} of {file_id}")

    def test_traversals_and_nonsense(self):
        tail = self.id.split("/")[-1]
        for file_id in ("", "/", "..", "../../../../etc/passwd", "/etc/passwd", "g1/M00/../../" + tail,
            "g1/../00/00/" + tail, "../M00/00/00/" + tail, "g1/M00/00/00/../../../../etc/passwd",
            "g1/M00/00/00/" + "." * 34, "g1/M00/00/00/" + "/" * 34, "g1/M00/00/00/\0" + tail[1:], self.id + "\0",
            self.id + "/", "/" + self.id, self.id[:-1], self.id + "x", self.id.upper(), self.id.replace("/", "//"),
            self.id.replace("/", "\\"), "g1/m00/00/00/" + tail, "g" * 17 + self.id[2:], "g\xe4" + self.id[2:], "x" * 4000,
            "A" * 77, "%2e%2e/" + self.id):
            with self.subTest(id=file_id):
                self.refused(file_id)
        self.still_good()

    def test_impossible_places(self):
        fid = self.fid
        lies = [fid._replace(**change) for change in (
            dict(chunk=0), dict(chunk=0xFFFFFFFF), dict(offset=0), dict(offset=0xFFFFFFC0), dict(offset=fid.offset + 1),
            dict(offset=fid.offset + 64), dict(offset=64 << 20), dict(slot=0), dict(slot=1), dict(slot=63),
            dict(slot=0xFFFFFFC0), dict(slot=fid.slot + 64), dict(slot=fid.slot - 64), dict(offset=0x80000000, slot=0x80000000),
            dict(origin=0), dict(origin=2), dict(origin=0xFFFFFF), dict(origin=0x1000000), dict(origin=0xFFFFFFFF),
            dict(mount=1), dict(mount=255), dict(stream=77), dict(stream=255), dict(seconds=0), dict(seconds=0xFFFFFFFF),
            dict(size=1), dict(size=69999), dict(crc=1), dict(is_mutable=1), dict(sequence=fid.sequence ^ 1), dict(group="g2"), dict(group="other"), dict(is_packed=0), dict(tail="0000001"),
            dict(tail="000.exe"), dict(tail="......."))]
        for lie in lies:
            with self.subTest(lie=lie):
                self.refused(native.encode_id(lie))
        self.still_good()

    def test_another_stream_of_a_single_file(self):
        """Its name on disk has no stream in it; but the stream decides which loop changes it."""
        for is_mutable in (0, 1):
            fid = native.decode_id(self.good.upload(content_of("single", 400000), is_mutable=is_mutable)["id"])
            self.assertFalse(fid.is_packed)
            for stream in range(3):
                if stream != fid.stream:
                    self.refused(native.encode_id(fid._replace(stream=stream)))
        self.still_good()

    def test_random_ids(self):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for _ in range(500):
            name = "".join(self.dice.choices(alphabet, k=27 + self.dice.choice([0, 16]))) + "0000000"
            self.refused(f"g1/M00/{self.dice.randrange(2):02X}/{self.dice.randrange(256):02X}/{name}")
            damaged = list(self.id)
            damaged[self.dice.randrange(len(damaged))] = self.dice.choice(alphabet)
            if "".join(damaged) != self.id:
                self.refused("".join(damaged))
        self.still_good()

    def test_huge_numbers(self):
        for fields in (dict(offset=1 << 63), dict(offset=(1 << 64) - 1, size=(1 << 64) - 1), dict(offset=70001),
            dict(offset=1, size=(1 << 64) - 1)):
            with self.subTest(**fields):
                try:
                    data = self.good.find(self.id, **fields)
                    self.assertEqual(data, self.content[fields["offset"] :])
                except Refused as refusal:
                    self.assertIn(refusal.name, ("RANGE", "USAGE"))
        mutable = self.good.upload(self.content)["id"]
        for mode, fields in ((native.WRITE, dict(offset=1 << 63)), (native.WRITE, dict(offset=(1 << 64) - 1)),
            (native.TRUNCATE, dict(offset=1 << 63)), (native.TRUNCATE, dict(offset=(1 << 64) - 1)), (0, {}), (99, {})):
            with self.subTest(mode=mode, **fields), self.assertRaises(Refused) as refusal:
                self.good.modify(mutable, b"" if mode == native.TRUNCATE else b"x", mode, **fields)
            self.assertIn(refusal.exception.name, ("RANGE", "USAGE", "TOO_LARGE", "NO_SPACE"))
        for fields in (dict(slack=1001), dict(slack=0xFFFFFFFF), dict(suffix="../../x"), dict(suffix="toolong"),
            dict(ack=9), dict(is_mutable=7), dict(pool="no such pool"), dict(content_type="c" * 3900),
            dict(crc_known=1, crc=1)):
            with self.subTest(**fields):
                try:
                    self.good.delete(self.good.upload(b"12345", **fields)["id"])
                except Refused as refusal:
                    self.assertIn(refusal.name, ("USAGE", "TOO_LARGE", "UNSUPPORTED", "CORRUPT", "WRONG_NODE"))
        self.still_good()


class Crowd(HostileTest):
    def test_a_thousand_silent_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        crowd = []
        self.addCleanup(lambda: [raw.close() for raw in crowd])
        for i in range(SILENT):
            raw = socket.socket()
            raw.setblocking(False)
            raw.connect_ex(native.address_of(self.server.tracker if i % 4 == 0 else self.server.storage))
            crowd.append(raw)
            if i % 100 == 0:
                self.assertEqual(self.good.find(self.id), self.content)
        self.assertEqual(self.good.find(self.id), self.content)
        self.assertLess(self.server.descriptor_count(), 1000)
        started = time.monotonic()
        until(self.greets, 40, "a new client is let in while the silent ones are there")
        print(f"{SILENT} silent connections: a new client was let in after {time.monotonic() - started:.1f} s")
        for raw in crowd:
            raw.close()
        crowd.clear()
        self.still_good()

    def greets(self):
        try:
            with self.server.connect(timeout=ANSWER_SECONDS) as connection:
                return connection.stat(self.id)
        except (Refused, Closed, OSError) as error:
            self.assertNotIn(getattr(error, "name", "BUSY"), ("CORRUPT", "NOT_FOUND"))
            return None

    def test_slow_readers_hold_up_no_small_files(self):
        """Fifty clients ask for megabytes and read nothing."""
        large = self.good.upload(content_of("large", 5 << 20))["id"]
        small = self.good.upload(b"small")["id"]
        slow = [self.server.connect() for _ in range(50)]
        self.addCleanup(lambda: [connection.close() for connection in slow])
        for connection in slow:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send("find", id=large)
        for _ in range(100):
            self.assertEqual(self.good.find(small), b"small")
        for connection in slow:
            connection.close()
        self.still_good()


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main()
