"""A tree of thousands of real files goes in and comes out, over a restart, too; and names of every kind."""

import os
import shutil
import socket
import unittest

from cluster import OK, PARTIAL
from drill import DrillTest, compare_trees, manifest_entries

FILES = 5000
BYTES = 200 << 20
ROOTS = ["/usr/share/doc", "/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share", "/usr/lib"]


def real_files(count, size_sum):
    """Paths of regular files of this system, as they come."""
    seen = set()
    for root in ROOTS:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if path in seen or os.path.islink(path) or not os.path.isfile(path):
                    continue
                size_sum -= os.path.getsize(path)
                if len(seen) == count or size_sum < 0:
                    return seen
                seen.add(path)
    return seen


class Tree(DrillTest):
    def test_thousands_of_real_files_come_back_over_a_restart(self):
        sources = real_files(FILES, BYTES)
        self.assertEqual(len(sources), FILES, "this system has too few files for the drill")
        for path in sources:
            copy = self.path("tree") + path
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(path, copy)
        output = self.cairn("put", "-r", "tree", "--manifest", "m")
        entries = manifest_entries(self.path("m"))
        self.assertEqual(len(entries), FILES)
        ids = {file_id for file_id, _ in entries.values()}
        self.assertEqual(len(ids), FILES)
        self.assertEqual({line.split(b"\t")[0].decode() for line in output.splitlines()}, ids)
        self.cairn("get", "-r", "m", "-o", "copy")
        compare_trees(self, self.path("tree"), self.path("copy", "tree"))

        self.assertEqual(self.server.stop(), OK)
        self.server.start()
        self.cairn("get", "-r", "m", "-o", "again")
        compare_trees(self, self.path("tree"), self.path("again", "tree"))
        listed = {entry["id"]: entry["size"] for entry in self.cairn_json("ls")}
        self.assertEqual(listed, {file_id: size for file_id, size in entries.values()})
        self.assertEqual(self.server.status()["live_files"], FILES)


class Names(DrillTest):
    odd = [b"a b", b" ", b"tab\there", b"new\nline", b"\xff\xfe\x80", b"caf\xc3\xa9", b"back\\slash", b"\\x41",
        b"\x01\x1b[31m", b"#hash", b"-", b"--json", b"-r", b"...", b"..a", b"quote\"'", b"%s%n", b"x" * 255, b"x" * 254 + b"y", b"x" * 244, b"x" * 245,
        b"r\rn", b"\x7f"]

    def test_odd_names_empty_files_and_deep_directories(self):
        tree = os.fsencode(self.path("tree"))
        deep = os.path.join(tree, *[b"d"] * 60)
        os.makedirs(deep)
        os.mkdir(os.path.join(tree, b"empty directory"))
        for i, name in enumerate(self.odd):
            for folder in (tree, deep):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(b"" if i % 3 == 0 else b"content of " + name)
            os.makedirs(os.path.join(tree, b"sub", name))
            with open(os.path.join(tree, b"sub", name, name), "wb") as file:
                file.write(name)
        self.cairn("put", "-r", "tree", "--manifest", "m")
        self.assertEqual(len(manifest_entries(self.path("m"))), 3 * len(self.odd))
        self.cairn("get", "-r", "m", "-o", "copy")
        compare_trees(self, self.path("tree"), self.path("copy", "tree"))

    def test_links_are_followed_to_files_only(self):
        self.write("tree/file", b"linked")
        self.write("elsewhere/file", b"outside")
        for target, name in (("file", "to-file"), (self.path("elsewhere", "file"), "to-outside"),
            ("..", "to-directory"), ("loop-b", "loop-a"), ("loop-a", "loop-b"), ("nowhere", "dangling")):
            os.symlink(target, self.path("tree", name))
        self.cairn("put", "-r", "tree", "--manifest", "m", code=PARTIAL)
        entries = manifest_entries(self.path("m"))
        self.assertEqual(set(entries), {b"tree/file", b"tree/to-file", b"tree/to-outside"})
        for name in ("dangling", "loop-a", "loop-b"):
            self.assertIn("tree/" + name, self.talk)
        self.assertEqual(self.get(entries[b"tree/to-file"][0]), b"linked")
        self.assertEqual(self.get(entries[b"tree/to-outside"][0]), b"outside")

    def test_what_is_no_file_is_left_out_and_blocks_nobody(self):
        self.write("tree/file", b"plain")
        os.mkfifo(self.path("tree", "fifo"))
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path("tree", "socket"))
        output = self.cairn("put", "-r", "tree")
        self.assertEqual(len(output.splitlines()), 1)
        self.assertIn("fifo", self.talk)
        self.assertIn("socket", self.talk)

    def test_unreadable_files_are_named_the_others_stored(self):
        for name in ("a", "secret", "z"):
            self.write("tree/" + name, name.encode())
        self.write("tree/closed/b", b"b")
        os.chmod(self.path("tree", "secret"), 0)
        os.chmod(self.path("tree", "closed"), 0)
        self.addCleanup(os.chmod, self.path("tree", "closed"), 0o700)
        output = self.as_nobody("put", "-r", "tree", code=PARTIAL)
        paths = [line.split(b"\t")[1] for line in output.splitlines()]
        self.assertEqual(paths, [b"tree/a", b"tree/z"])
        self.assertIn("tree/secret", self.talk)
        self.assertIn("tree/closed", self.talk)

    def as_nobody(self, *words, code):
        """Root reads everything: then the command runs as somebody else, from a place for everybody."""
        import subprocess

        from cluster import CAIRN, COMMAND_SECONDS

        user = {}
        command = self.command(*words)
        if os.geteuid() == 0:
            user = dict(user=65534, group=65534, extra_groups=[])
            os.chmod(self.root, 0o755)
            os.chmod(self.dir, 0o755)
            command[0] = shutil.copy(CAIRN, self.path("cairn"))
        result = subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS, cwd=self.dir, **user)
        self.talk = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, code, self.talk)
        return result.stdout


if __name__ == "__main__":
    unittest.main()
