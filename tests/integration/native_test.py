"""doc/protocol.md as it stands, in Python: its examples, and every verb at a real server."""

import os
import struct
import threading
import unittest
import zlib

import native_client as native
from drill import DrillTest, content_of
from native_client import Refused


class Document(unittest.TestCase):
    def test_the_example_of_a_header(self):
        head = native.HEADER.pack(b"CRN1", 1, 16, native.MORE, 0x1122334455667788, 100, 5000, 0xCAFEF00D)
        head += struct.pack("<I", zlib.crc32(head))
        self.assertEqual(head.hex(" "), "43 52 4e 31 01 10 01 00 88 77 66 55 44 33 22 11 "
            "64 00 00 00 88 13 00 00 0d f0 fe ca 62 81 b8 00")

    def test_the_example_of_fields(self):
        fields = native.encode_fields("delete", id="id", nonce=bytes(range(1, 17)), ack=3, if_version=(7, 513))
        self.assertEqual(fields.hex(" "), "02 00 69 64 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 "
            "03 07 00 00 00 00 00 00 00 01 02 00 00")

    def test_the_example_of_a_proof(self):
        hello = dict(version_min=1, version_max=2, capabilities=5, role=native.CLIENT, machine=9,
            challenge=bytes(range(1, 33)))
        welcome = dict(version=1, capabilities=6, server_role=2, proof_needed=1, machine=7,
            challenge=bytes(range(2, 34)))
        proof = native.proof(b"the clients' secret 0123456789", b"cairn client 1", hello, welcome)
        self.assertEqual(proof.hex(), "0c370faf52299a625c89c6c46e38cf3e35fecc8b2c5a06022397b363f30f5980")

    def test_the_examples_of_ids(self):
        packed = native.Fid("group1", 10, 3, 100001, 0x6BB1DC80, 0x2A3B4C, 1, 0, 30, 0x6EE2E217, 0x01020304,
            0x00100040, 128, "444.txt")
        single = packed._replace(is_packed=0, is_mutable=1, size=0, chunk=0, offset=0, slot=0)
        for fid, text in ((packed, "group1/M0A/03/04/oYYBAGux3ICYKjtMAAAAHm7i4hcAQIDBAAQAEAAAACA444.txt"),
            (single, "group1/M0A/03/4C/oYYBAGux3ICUKjtMAAAAAG7i4hc444.txt")):
            self.assertEqual(native.encode_id(fid), text)
            self.assertEqual(native.decode_id(text), fid)


class Verbs(DrillTest):
    def setUp(self):
        super().setUp()
        self.connection = self.server.connect()
        self.addCleanup(self.connection.close)

    def test_contents_of_every_size_come_back(self):
        for size in (0, 1, 63, 4096, 65536, 262143, 262144, 262145, 1 << 20, (3 << 20) + 17):
            with self.subTest(size=size):
                content = content_of("native", size)
                stored = self.connection.upload(content, suffix="bin", content_type="a/b", metadata="m")
                self.assertEqual((stored["size"], stored["crc"]), (size, zlib.crc32(content)))
                self.assertEqual(self.connection.find(stored["id"]), content)
                stated = self.connection.stat(stored["id"])
                self.assertEqual((stated["size"], stated["crc"]), (size, zlib.crc32(content)))
                self.assertEqual((stated["content_type"], stated["metadata"]), ("a/b", "m"))
                self.assertEqual(stated["is_packed"], native.decode_id(stored["id"]).is_packed)

    def test_ids_decode_to_what_was_stored(self):
        content = content_of("id", 1234)
        fid = native.decode_id(self.connection.upload(content, is_mutable=0, suffix="txt")["id"])
        self.assertEqual((fid.size, fid.crc, fid.origin, fid.is_mutable), (1234, zlib.crc32(content), 1, 0))
        self.assertTrue(fid.tail.endswith(".txt"))
        self.assertEqual((fid.offset % 64, fid.slot % 64), (0, 0))

    def test_a_file_is_modified_in_every_way(self):
        file_id = self.connection.upload(b"0123456789")["id"]
        for mode, offset, piece, wanted in ((native.REPLACE, 0, b"abcdef", b"abcdef"),
            (native.WRITE, 2, b"XY", b"abXYef"), (native.APPEND, 0, b"!", b"abXYef!")):
            self.connection.modify(file_id, piece, mode, offset=offset)
            self.assertEqual(self.connection.find(file_id), wanted)
        self.connection.modify(file_id, b"", native.TRUNCATE, offset=3)
        self.assertEqual(self.connection.find(file_id), b"abX")

    def test_a_download_over_two_checksum_groups_is_one_version_or_conflict(self):
        group, count = 1016 * 65536, 400
        places = group - 300000, group + 1000  # in different pieces, and checksums of different pages
        file_id = self.connection.upload(bytes(300000))["id"]
        self.connection.modify(file_id, b"", native.TRUNCATE, offset=group + 100000)
        is_over = threading.Event()

        def change():
            with self.server.connect() as connection:
                for number in range(1, count):
                    place = places[number % 2]
                    connection.modify(file_id, struct.pack("<I", number), native.WRITE, offset=place)
            is_over.set()

        writer = threading.Thread(target=change)
        writer.start()
        self.addCleanup(writer.join)
        seen = set()
        while not is_over.is_set() and writer.is_alive():
            try:
                reply = self.connection.call("find", id=file_id, offset=places[0], size=places[1] + 4 - places[0])
            except Refused as refused:
                self.assertEqual(refused.name, "CONFLICT")
                continue
            number = reply.fields["version"][0] - 2  # upload and truncate were before
            wanted = [number - number % 2, max(0, number - 1 + number % 2)]
            found = [struct.unpack("<I", data)[0] for data in (reply.data[:4], reply.data[-4:])]
            self.assertEqual(found, wanted, "a mix")
            seen.add(number)
        self.assertTrue(is_over.is_set())
        self.assertGreater(len(seen), 2)

    def test_a_modify_that_is_sent_twice_happens_once(self):
        file_id = self.connection.upload(b"a")["id"]
        nonce = os.urandom(16)
        first = self.connection.modify(file_id, b"b", native.APPEND, nonce=nonce)
        again = self.connection.modify(file_id, b"b", native.APPEND, nonce=nonce)
        self.assertEqual(first["version"], again["version"])
        self.assertEqual(self.connection.find(file_id), b"ab")

    def test_errors_have_names_and_sentences(self):
        file_id = self.connection.upload(b"x")["id"]
        version = self.connection.stat(file_id)["version"]
        self.connection.modify(file_id, b"y")
        for name, call in (
            ("CONFLICT", lambda: self.connection.modify(file_id, b"z", if_version=version)),
            ("RANGE", lambda: self.connection.find(file_id, offset=10, size=5)),
            ("USAGE", lambda: self.connection.stat("no id")),
        ):
            with self.subTest(name=name), self.assertRaises(Refused) as refusal:
                call()
            self.assertEqual(refusal.exception.name, name)
            self.assertTrue(refusal.exception.text)

    def test_a_deleted_file_is_not_found(self):
        file_id = self.connection.upload(b"x")["id"]
        self.assertEqual(self.connection.delete(file_id)["existed"], 1)
        for call in (self.connection.find, self.connection.stat):
            with self.assertRaises(Refused) as refusal:
                call(file_id)
            self.assertEqual(refusal.exception.name, "NOT_FOUND")

    def test_requests_are_pipelined(self):
        contents = [content_of(i, i * 10) for i in range(500)]
        uploads = (("upload", content, dict(ack=native.LOCAL, is_mutable=1)) for content in contents)
        ids = {position: reply.fields["id"] for position, reply in self.connection.pipeline(uploads)}
        self.assertEqual(len(set(ids.values())), 500)
        finds = (("find", b"", dict(id=ids[i])) for i in range(500))
        found = {position: reply.data for position, reply in self.connection.pipeline(finds)}
        self.assertEqual([found[i] for i in range(500)], contents)
        self.assertLessEqual(set(ids.values()), {entry[0] for entry in self.connection.list(count_max=77)})

    def test_a_tracker_names_the_storage(self):
        with native.Connection(self.server.tracker) as tracker:
            answer = tracker.call("query", purpose=native.UPLOAD_PURPOSE)
            machine, at = native.decode_field("U32", answer.data, 0)
            address, _ = native.decode_field("TEXT", answer.data, at)
            self.assertEqual((answer.fields["count"], machine, address), (1, 1, self.server.storage))


if __name__ == "__main__":
    unittest.main()
