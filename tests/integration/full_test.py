"""A disk that is full: uploads are refused clearly, everything else goes on; and space does not get lost in
tens of thousands of rounds of upload and delete."""

import itertools
import os
import random
import subprocess
import unittest
import zlib

import native_client as native
from cluster import FAILED, NOT_FOUND, OK
from drill import MIB, OwnServerTest, Watched, content_of, fill_up, settled, small_disk, until
from native_client import Refused

DISK = 256 * MIB
ROUNDS = 20000
FLAGS = ["--chunk-size", "8MiB", "--log-segment-size", "2MiB", "--log-segments", "6", "--checkpoint-bytes", "4MiB",
    "--streams", "2", "--reserve", "2MiB"]


class FullTest(OwnServerTest):
    def setUp(self):
        super().setUp()
        self.disk = small_disk(DISK)
        self.mount, self.kind = self.disk.__enter__()
        self.addCleanup(self.disk.__exit__, None, None, None)
        self.server = Watched(os.path.join(self.mount, "data"), *FLAGS)
        self.addCleanup(self.server.kill)
        self.connection = self.server.connect()
        self.addCleanup(lambda: self.connection.close())
        self.sizes = {}

    def content(self, i):
        return content_of(f"full {i}", self.sizes[i])

    def fill(self, size_max, ids):
        """Upload until the disk is full. Adds to `ids` {number: id}; returns the refusal."""
        dice = random.Random(len(ids))
        refusal = None

        def requests():
            for i in itertools.count(len(self.sizes)):
                if refusal:
                    return
                self.sizes[i] = dice.randrange(size_max)
                numbers.append(i)
                yield "upload", self.content(i), dict(ack=native.LOCAL, is_mutable=1)

        numbers = []
        for position, reply in self.connection.pipeline(requests(), depth=16):
            if reply.name == "error":
                refusal = Refused(**reply.fields)
                self.assertEqual(refusal.name, "NO_SPACE", refusal)
            else:
                ids[numbers[position]] = reply.fields["id"]
        return refusal

    def check(self, ids):
        numbers = sorted(ids)
        finds = (("find", b"", dict(id=ids[i])) for i in numbers)
        for position, reply in self.connection.pipeline(finds):
            self.assertEqual(reply.name, "found", reply.fields)
            self.assertTrue(reply.data == self.content(numbers[position]), ids[numbers[position]])

    def free(self):
        return self.connection.status()["free"]


class Full(FullTest):
    def test_a_full_disk_refuses_uploads_and_does_everything_else(self):
        ids = {}
        refusal = self.fill(200000, ids)
        self.assertIn("space", refusal.text)
        self.fill(2000, ids)
        self.assertGreater(sum(self.sizes[i] for i in ids), DISK // 3, "called full too early")
        fill_up(os.path.join(self.mount, "of-somebody-else"))
        self.command_line_is_refused()
        self.check(ids)
        self.modify_in_place(ids)
        deleted = self.delete_a_third(ids)
        path = self.write("small", b"y" * 1000)
        until(lambda: self.run_command("put", path, "--retries", "0") == OK, 15, "a put into the gaps of a full disk")
        self.assertEqual(self.cairn_json("status")[0]["storages"][0]["mounts_online"], 1, "full is not offline")
        for name in ("of-somebody-else", "of-somebody-else-more"):
            os.unlink(os.path.join(self.mount, name))
        uploaded = until(self.upload_again, 15, "an upload after the deletes")
        self.connection.delete(uploaded["id"])
        more = dict(ids)
        self.fill(20000, more)  # smaller than the gaps: what does not fit is not what is drilled here
        refilled = sum(self.sizes[i] for i in more) - sum(self.sizes[i] for i in ids)
        print(f"{self.kind}: {deleted / MIB:.0f} MiB deleted, {refilled / MIB:.0f} MiB stored in their place")
        self.assertGreater(refilled, deleted // 2)
        self.everybody_is_answered()
        self.check(more)
        self.connection.close()
        self.assertEqual(self.server.stop(), OK)
        self.server.start()
        self.connection = self.server.connect()
        self.check(more)

    def everybody_is_answered(self):
        """Sizes of which some fit in some gap and most in none, many at a time."""
        dice = random.Random(7)
        sizes = [dice.choice([100, 1000, 5000, 20000, 60000, 200000]) for _ in range(1000)]
        uploads = (("upload", b"z" * size, dict(ack=native.LOCAL, is_mutable=1)) for size in sizes)
        for _, reply in self.connection.pipeline(uploads, depth=48):
            if reply.name == "error":
                self.assertEqual(native.ERRORS[reply.fields["code"]], "NO_SPACE")

    def run_command(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, timeout=30).returncode

    def command_line_is_refused(self):
        path = self.write("large", b"x" * (8 * MIB))
        self.cairn("put", path, code=FAILED)
        self.assertRegex(self.talk, "no space left|has room")

    def modify_in_place(self, ids):
        """Same size: in the slot, or over the file's own bytes."""
        for i in sorted(ids)[:200]:
            reversed_content = self.content(i)[::-1]
            self.connection.modify(ids[i], reversed_content, native.WRITE)
            self.assertTrue(self.connection.find(ids[i]) == reversed_content, ids[i])
            self.connection.modify(ids[i], self.content(i), native.WRITE)
        self.assertEqual(self.connection.stat(ids[i])["crc"], zlib.crc32(self.content(i)))

    def delete_a_third(self, ids):
        numbers = sorted(ids)[::3]
        for i in numbers:
            file_id = ids.pop(i)
            self.connection.delete(file_id)
            with self.assertRaises(Refused) as refusal:
                self.connection.find(file_id)
            self.assertEqual(refusal.exception.name, "NOT_FOUND")
        self.cairn("get", file_id, code=NOT_FOUND)
        return sum(self.sizes[i] for i in numbers)

    def upload_again(self):
        try:
            return self.connection.upload(b"x" * 150000)
        except Refused as refusal:
            self.assertEqual(refusal.name, "NO_SPACE")
            return None


class Rounds(FullTest):
    """Space is neither lost nor leaked by uploads and deletes."""

    lost_at_most = 9 * MIB  # two log segments of each stream, checkpoints; chunks are counted as free where nothing lives

    def test_tens_of_thousands_of_rounds_end_with_the_free_space_they_began_with(self):
        for count in (4000, 5000, 6000):
            self.rounds(count)  # until all chunks are made that so many files at one time need
        before = self.settled_free()
        self.rounds(ROUNDS)
        after = self.settled_free()
        print(f"{self.kind}: free {before / MIB:.1f} MiB before {ROUNDS} rounds, {after / MIB:.1f} MiB after")
        self.assertGreaterEqual(after, before - self.lost_at_most)
        status = self.connection.status()
        self.assertEqual(status["live_files"], 0)
        self.assertEqual(list(self.connection.list()), [])

    def rounds(self, count, held=200):
        """Upload and delete; `held` files live at one time. More bytes go through than the disk has."""
        dice = random.Random(count)
        alive = []
        piece = dice.randbytes(60000)
        for at in range(0, count, held):
            uploads = (("upload", piece[: dice.randrange(1, 40000)], dict(ack=native.LOCAL, is_mutable=1))
                for _ in range(held))
            for _, reply in self.connection.pipeline(uploads):
                self.assertEqual(reply.name, "uploaded", reply.fields)
                alive.append(reply.fields["id"])
            dice.shuffle(alive)
            self.delete_all(alive[held // 2 :])
            alive = alive[: held // 2]
        self.delete_all(alive)

    def delete_all(self, ids):
        for _, reply in self.connection.pipeline(("delete", b"", dict(id=i, ack=native.LOCAL)) for i in ids):
            self.assertEqual(reply.name, "deleted", reply.fields)

    def settled_free(self):
        """Free bytes when they no longer change: what is given back is given back behind the deletes."""
        return settled(self.free)


if __name__ == "__main__":
    unittest.main()
