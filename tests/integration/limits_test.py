"""Tens of thousands of files under a limit of 64 open files: works, and holds no more than it said."""

import re
import unittest

import native_client as native
from cluster import OK
from drill import MIB, OwnServerTest, content_of

FILES = 20000
DURABLE = 2000  # of them; the others are acknowledged from memory, for speed
DESCRIPTORS = 64


def ack_of(i):
    return native.LOCAL if i % (FILES // DURABLE) == 0 else native.MEMORY


class Limits(OwnServerTest):
    in_memory = True

    def setUp(self):
        super().setUp()
        self.server = self.start_server(prefix=["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh"])
        self.counts = []

    def watch(self, replies):
        """Goes through the replies and counts descriptors on the way."""
        for i, (position, reply) in enumerate(replies):
            self.assertNotEqual(reply.name, "error", reply.fields)
            if i % 500 == 0:
                self.counts.append(self.server.descriptor_count())
            yield position, reply

    def test_small_files_by_the_ten_thousand_under_a_limit_of_64(self):
        content = [content_of("limits", i) for i in range(500)]
        with self.server.connect() as connection:
            uploads = (("upload", content[i % 500], dict(ack=ack_of(i), is_mutable=i % 2)) for i in range(FILES))
            ids = {i: reply.fields["id"] for i, reply in self.watch(connection.pipeline(uploads))}
            before = self.server.resident()
            self.assertEqual(len(set(ids.values())), FILES)
            finds = (("find", b"", dict(id=ids[i])) for i in range(FILES))
            for i, reply in self.watch(connection.pipeline(finds)):
                self.assertTrue(reply.data == content[i % 500], ids[i])
            changes = (("modify", b"changed", dict(id=ids[i], mode=native.REPLACE, ack=native.MEMORY))
                for i in range(1, 4000, 2))
            for _ in self.watch(connection.pipeline(changes)):
                pass
            deletes = (("delete", b"", dict(id=ids[i], ack=native.MEMORY)) for i in range(0, FILES, 4))
            for _ in self.watch(connection.pipeline(deletes)):
                pass
        grown = self.server.resident() - before
        print(f"descriptors {min(self.counts)}..{max(self.counts)} of {DESCRIPTORS}, "
            f"{self.server.resident() / MIB:.0f} MiB, grown by {grown / MIB:.1f} MiB since the uploads")
        self.assertLess(max(self.counts), DESCRIPTORS)
        self.assertLessEqual(max(self.counts) - min(self.counts), 6)

    def test_the_command_line_works_under_the_same_limit(self):
        for i in range(300):
            self.write(f"tree/{i}", content_of(i, i * 37))
        self.cairn("put", "-r", "tree", "--manifest", "m", "--jobs", "2")
        self.cairn("get", "-r", "m", "-o", "copy", "--jobs", "2")
        for i in range(300):
            self.assertEqual(self.read("copy", "tree", str(i)), content_of(i, i * 37))

    def test_more_clients_than_there_is_room_for_are_told_so(self):
        connections, told = [], 0
        for _ in range(DESCRIPTORS):
            connection = native.Connection(self.server.storage, must_shake=False)
            self.addCleanup(connection.close)
            try:
                connection.shake_hands(native.CLIENT, 0, None)
                connections.append(connection)
            except native.Refused as refusal:
                connection.close()  # else the server waits for that, for a second
                self.assertEqual(refusal.name, "BUSY")
                told += 1
        self.assertGreaterEqual(len(connections), 4)
        self.assertGreater(told, 0)
        self.assertLess(self.server.descriptor_count(), DESCRIPTORS)
        stored = connections[0].upload(b"still works")
        self.assertEqual(connections[-1].find(stored["id"]), b"still works")

    def test_the_budget_is_printed_at_the_start(self):
        log = self.server.log_text()
        descriptors = re.search(r"descriptors: .* = (\d+) of (\d+)", log)
        self.assertIsNotNone(descriptors, log)
        self.assertEqual(int(descriptors[2]), DESCRIPTORS)
        self.assertLessEqual(int(descriptors[1]), DESCRIPTORS)
        self.assertRegex(log, r"memory: .* = [\d.]+ MiB")
        self.assertEqual(self.server.stop(), OK)


if __name__ == "__main__":
    unittest.main()
