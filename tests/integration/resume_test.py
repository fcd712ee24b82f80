"""Interruptions: of the client, of the server; and manifests that somebody else has written."""

import os
import random
import signal
import subprocess
import unittest

from cluster import CONFLICT, FAILED, INTERRUPTED, OK, PARTIAL, ClusterTest

FILES = 400


class Resume(ClusterTest):
    def make_tree(self, count=FILES, size=20000):
        for i in range(count):
            self.write(f"tree/{i % 7}/{i}", random.Random(i).randbytes(size))

    def start_put(self, *flags):
        return subprocess.Popen(self.command("put", "-r", "tree", *flags), cwd=self.dir,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def manifest_lines(self):
        return [line for line in self.read("m").splitlines() if not line.startswith(b"#")]

    def compare_trees(self):
        subprocess.run(["diff", "-r", self.path("tree"), self.path("copy", "tree")], check=True)

    def test_a_killed_put_goes_on_where_it_was(self):
        self.make_tree()
        process = self.start_put("--manifest", "m", "--jobs", "2")
        printed = [process.stdout.readline() for _ in range(50)]
        process.kill()
        printed += process.communicate()[0].splitlines(keepends=True)
        printed = [line for line in printed if line.endswith(b"\n")]
        known = {line.split(b"\t")[0] for line in self.manifest_lines()}
        self.assertLessEqual({line.split(b"\t")[0] for line in printed}, known)
        self.assertLess(len(known), FILES, "the put was over before it could be killed")
        output = self.cairn("put", "-r", "tree", "--resume", "m")
        self.assertEqual(len(output.splitlines()), FILES - len(known))
        self.assertEqual(len(self.manifest_lines()), FILES)
        self.cairn("get", "-r", "m", "-o", "copy")
        self.compare_trees()

    def test_a_torn_last_line_is_stored_again(self):
        self.make_tree(count=5)
        self.cairn("put", "-r", "tree", "--manifest", "m")
        with open(self.path("m"), "r+b") as file:
            file.truncate(os.path.getsize(self.path("m")) - 10)
        self.assertEqual(len(self.cairn("put", "-r", "tree", "--resume", "m").splitlines()), 1)
        self.assertEqual(len(self.manifest_lines()), 5)

    def test_a_changed_file_is_stored_again(self):
        self.make_tree(count=5)
        self.cairn("put", "-r", "tree", "--manifest", "m")
        os.utime(self.path("tree", "1", "1"), ns=(1, 1))
        output = self.cairn("put", "-r", "tree", "--resume", "m")
        self.assertEqual(len(output.splitlines()), 1)
        self.cairn("get", "-r", "m", "-o", "copy")
        self.compare_trees()

    def test_a_manifest_is_not_overwritten(self):
        self.make_tree(count=1)
        self.write("m", b"precious")
        self.cairn("put", "-r", "tree", "--manifest", "m", code=CONFLICT)
        self.assertEqual(self.read("m"), b"precious")

    def test_interrupt_ends_with_what_was_done(self):
        self.make_tree()
        process = self.start_put("--jobs", "1")
        printed = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        output, talk = process.communicate(timeout=30)
        self.assertEqual(process.returncode, INTERRUPTED)
        self.assertIn(b"interrupted", talk)
        for line in printed + output.splitlines():
            self.assertEqual(len(self.get(line.split(b"\t")[0].decode())), 20000)

    def test_interrupt_ends_a_stream_that_never_ends(self):
        process = subprocess.Popen(self.command("put", "-"), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"x" * 1000000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), INTERRUPTED)
        self.assertEqual(process.stdout.read(), b"")
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


class Hostile(ClusterTest):
    def manifest(self, *paths):
        file_id = self.put(b"evil").encode()
        lines = [b"\t".join((file_id, b"4", b"00000000", b"0", path)) for path in paths]
        self.write("m", b"\n".join(lines) + b"\n")

    def everything(self):
        found = set()
        for folder, _, names in os.walk(self.root):
            found |= {os.path.join(folder, name) for name in names}
        return {path for path in found if "/data" not in path}

    def test_paths_that_lead_outside_are_refused_the_others_fetched(self):
        self.manifest(b"good", b"../escaped", b"/tmp/cairn-escaped", b"a/../../escaped", b"a/./b", b"a//b")
        before = self.everything()
        self.cairn("get", "-r", "m", "-o", "out", code=PARTIAL)
        self.assertEqual(self.everything() - before, {self.path("out", "good")})
        self.assertFalse(os.path.exists("/tmp/cairn-escaped"))
        self.assertEqual(self.talk.count("refused"), 5)

    def test_links_that_lead_outside_are_refused(self):
        os.makedirs(self.path("out"))
        os.makedirs(self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), self.path("out", "absolute"))
        os.symlink("../elsewhere", self.path("out", "relative"))
        self.manifest(b"absolute/x", b"relative/x", b"relative/new/x", b"absolute/new/x")
        self.cairn("get", "-r", "m", "-o", "out", code=FAILED)
        self.assertEqual(os.listdir(self.path("elsewhere")), [])

    def test_malformed_lines_are_said_the_others_fetched(self):
        self.manifest(b"good", b"bad\\x0", b"")
        self.cairn("get", "-r", "m", "-o", "out", code=PARTIAL)
        self.assertEqual(self.read("out", "good"), b"evil")


class Restart(ClusterTest):
    def test_acknowledged_files_survive_a_kill_of_the_server(self):
        contents = {self.put(bytes([i]) * 5000): bytes([i]) * 5000 for i in range(20)}
        self.server.end(signal.SIGKILL)
        self.server.start()
        for file_id, content in contents.items():
            self.assertEqual(self.get(file_id), content)

    def test_a_drained_server_leaves_with_zero_and_keeps_everything(self):
        file_id = self.put(b"kept")
        self.assertEqual(self.server.stop(), OK)
        self.server.start()
        self.assertEqual(self.get(file_id), b"kept")


if __name__ == "__main__":
    unittest.main()
