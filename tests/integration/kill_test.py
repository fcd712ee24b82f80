"""The kill drill: the server dies by SIGKILL at moments that progress chooses, again and again; nothing that
was acknowledged is lost, nothing half is ever seen, nothing is lost of disk or descriptors.

CAIRN_SEED=N repeats a run as far as the scheduler lets it."""

import os
import queue
import random
import signal
import subprocess
import tempfile
import threading
import unittest

import native_client as native
from cluster import CAIRN, OK
from drill import MIB, SMALL, OwnServerTest, Source, content_of, disk_bytes, manifest_entries, until
from native_client import Closed, Refused

SEED = int(os.environ.get("CAIRN_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
ROUNDS = 30
FILES = 4000
JOBS = 8
MODIFY_KILLS = 25


class DeathTest(OwnServerTest):
    flags = SMALL

    def setUp(self):
        super().setUp()
        self.dice = random.Random(SEED)
        self.server = self.start_server()

    def check_offline(self):
        """The stopped directory, as `cairn check` sees it."""
        result = subprocess.run([CAIRN, "check", "--offline", self.server.data], capture_output=True,
            text=True, timeout=60)
        self.assertEqual(result.returncode, OK, result.stdout + result.stderr)


class Uploads(DeathTest):
    def setUp(self):
        super().setUp()
        self.source = Source(self.dir, "tree", FILES, SEED)
        self.by_content = {self.source.content(path): path for path in self.source.sizes}
        self.acknowledged = {}  # id -> path
        self.stray = set()  # stored, but the answer never came
        self.descriptors = []

    def test_nothing_acknowledged_is_lost_nothing_half_is_seen(self):
        for round_number in range(ROUNDS):
            with self.subTest(round=round_number, seed=SEED):
                fresh = self.put_until_death(self.dice.randrange(1, FILES // ROUNDS + 20))
                if round_number % 10 == 9:
                    self.check_offline()
                self.server.start()
                self.check(fresh)
        self.finish()
        self.compare_space()

    def put_until_death(self, kill_after):
        """Put, and kill the server when so many more files are acknowledged. Returns the new ids."""
        put = subprocess.Popen(self.command("put", "-r", "tree", "--resume", "m", "--jobs", str(JOBS), "--retries",
            "0", "--timeout", "2s", "--quiet"), cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        printed = []
        with put:
            for line in put.stdout:
                printed.append(line)
                if len(printed) == kill_after:
                    self.server.kill()
                    put.send_signal(signal.SIGINT)
        self.server.kill()
        self.assertGreaterEqual(len(printed), min(kill_after, FILES - len(self.acknowledged)))
        fresh = {}
        for line in printed:
            file_id, _, path = line.rstrip(b"\n").decode().partition("\t")
            self.assertNotIn(file_id, self.acknowledged, "an id was issued twice")
            fresh[file_id] = path
        self.acknowledged |= fresh
        return fresh

    def check(self, fresh):
        """Right after a restart: the fresh ids, a sample of the others, and everything that is listed."""
        with self.server.connect() as connection:
            sample = self.dice.sample(sorted(self.acknowledged), min(50, len(self.acknowledged)))
            self.check_contents(connection, {*fresh, *sample})
            listed = {entry[0]: entry[1] for entry in connection.list()}
            self.check_listed(connection, listed)
            until(lambda: connection.status()["live_files"] == len(listed), 5, "live_files as listed")
        self.descriptors.append(until(self.server.descriptor_count))

    def check_contents(self, connection, ids):
        ids = sorted(ids)
        finds = (("find", b"", dict(id=file_id)) for file_id in ids)
        for position, reply in connection.pipeline(finds):
            file_id = ids[position]
            self.assertEqual(reply.name, "found", f"{file_id}: {reply.fields}")
            self.assertTrue(reply.data == self.source.content(self.acknowledged[file_id]), file_id)

    def check_listed(self, connection, listed):
        self.assertLessEqual(set(self.acknowledged), set(listed))
        for file_id in self.acknowledged:
            self.assertEqual(listed[file_id], self.source.sizes[self.acknowledged[file_id]])
        strange = set(listed) - set(self.acknowledged) - self.stray
        self.assertLessEqual(len(strange), JOBS, "more than could be in flight")
        for file_id in strange:
            self.assertIn(connection.find(file_id), self.by_content, f"{file_id} is half")
        self.assertLessEqual(self.stray, set(listed), "what was seen once has gone")
        self.stray |= strange

    def finish(self):
        """The rest without a death: all is there, by the manifest, too."""
        self.cairn("put", "-r", "tree", "--resume", "m")
        entries = manifest_entries(self.path("m"))
        self.assertEqual(len(entries), FILES)
        self.acknowledged |= {file_id: path.decode() for path, (file_id, _) in entries.items()}
        with self.server.connect() as connection:
            self.check_contents(connection, self.acknowledged)
        self.cairn("get", "-r", "m", "-o", "copy")
        for path in self.source.sizes:
            self.assertTrue(self.read("copy", path) == self.source.content(path), path)
        self.assertEqual(self.cairn_json("ls") != [], True)
        print(f"descriptors after each restart: {min(self.descriptors)}..{max(self.descriptors)}")
        self.assertLessEqual(max(self.descriptors) - min(self.descriptors), 12)

    def compare_space(self):
        """A server that never died holds the same files: how much more does ours take?"""
        fresh = self.start_server("fresh")
        self.cairn("put", "-r", "tree", "--quiet", tracker=fresh.tracker)
        for server in (fresh, self.server):
            self.assertEqual(server.stop(), OK)
        self.check_offline()
        ours, theirs = disk_bytes(self.server.data), disk_bytes(fresh.data)
        print(f"bytes on disk: {ours / MIB:.0f} MiB after {ROUNDS} deaths, {theirs / MIB:.0f} MiB without; "
            f"{len(self.stray)} stray files")
        strays = len(self.stray) * MIB
        self.assertLess(ours, theirs + 2 * 16 * MIB + strays)


class Changes(DeathTest):
    """One file at a time, changed again and again: afterwards it is what it was before or after a change."""

    def test_a_file_is_old_or_new(self):
        for kind, size in (("packed", 500), ("growing", 30000), ("single", 700000)):
            with self.subTest(kind=kind, seed=SEED):
                self.drill(size)
        self.assertEqual(self.server.stop(), OK)
        self.check_offline()

    def drill(self, size):
        content = content_of(SEED, size)
        with self.server.connect() as connection:
            file_id = connection.upload(content)["id"]
        for _ in range(MODIFY_KILLS // 3):
            done, wanted = self.change_until_death(file_id, content, self.dice.randrange(1, 40))
            self.server.start()
            with self.server.connect() as connection:
                content = connection.find(file_id)
                self.assertIn(content, (done, wanted), "neither old nor new")
                self.assertEqual(connection.stat(file_id)["size"], len(content))

    def change_until_death(self, file_id, content, kill_after):
        """Returns the content after the last change that was answered, and after the next one."""
        answers = queue.Queue()
        changer = threading.Thread(target=self.change, args=(file_id, content, self.dice.random(), answers))
        changer.start()
        steps = [content]
        while len(steps) <= kill_after:
            step = answers.get(timeout=30)
            self.assertIsNotNone(step, "the changes ended before the server was killed")
            steps.append(step)
        self.server.kill()
        changer.join(30)
        while (step := answers.get(timeout=30)) is not None:
            steps.append(step)
        wanted = answers.get(timeout=30)
        return steps[-1], wanted

    def change(self, file_id, content, seed, answers):
        """Tells each content that was answered; when the server has gone None, and what was on its way."""
        dice = random.Random(seed)
        wanted = content
        try:
            with self.server.connect() as connection:
                while True:
                    wanted, mode, offset, piece = next_change(dice, content)
                    connection.modify(file_id, piece, mode, offset=offset)
                    content = wanted
                    answers.put(content)
        except (OSError, Closed, Refused):
            pass
        answers.put(None)
        answers.put(wanted)

    def test_the_command_line_changes_all_or_nothing(self):
        old = content_of("old", 200000)
        with self.server.connect() as connection:
            file_id = connection.upload(old)["id"]
        for i in range(6):
            new = content_of(f"new {i}", 200000 + i * 50000)
            modify = subprocess.Popen(self.command("modify", file_id, "-", "--retries", "0", "--timeout", "2s"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            with modify:
                try:
                    modify.stdin.write(new[: 50000 * (i + 1)])
                    modify.stdin.flush()
                    if i % 2 == 0:
                        modify.stdin.write(new[50000 * (i + 1) :])
                        modify.stdin.close()
                    self.server.kill()
                except BrokenPipeError:
                    self.server.kill()
                modify.kill()
            self.server.start()
            with self.server.connect() as connection:
                content = connection.find(file_id)
            self.assertIn(content, (old, new) if i % 2 == 0 else (old,))
            old = content


def next_change(dice, content):
    """A random change of a content: (what it will be, mode, offset, piece)."""
    mode = dice.choice([native.REPLACE, native.WRITE, native.APPEND, native.TRUNCATE])
    piece = dice.randbytes(dice.choice([1, 100, 5000, 60000]))
    if mode == native.REPLACE:
        piece = dice.randbytes(dice.choice([10, len(content) // 2, len(content), len(content) * 3 // 2 + 1]))
        piece = piece[: 2 * MIB]
        return piece, mode, 0, piece
    if mode == native.WRITE:
        offset = dice.randrange(len(content) + 1)
        return content[:offset] + piece + content[offset + len(piece) :], mode, offset, piece
    if mode == native.APPEND and len(content) < 2 * MIB:
        return content + piece, mode, 0, piece
    size = dice.randrange(len(content) + 1)
    return content[:size], native.TRUNCATE, size, b""


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main()
