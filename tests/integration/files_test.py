"""put, get, modify, rm, stat, ls: what goes in comes out, and every error has its exit code."""

import os
import random
import stat
import subprocess
import unittest
import zlib

from cluster import CONFLICT, NOT_FOUND, OK, PARTIAL, UNAVAILABLE, USAGE, ClusterTest

SIZES = [0, 1, 63, 64, 4095, 4096, 65536, 65537, 262144, 262145, 1 << 20, (5 << 20) + 12345]


def bytes_of(seed, size):
    return random.Random(seed).randbytes(size)


class Files(ClusterTest):
    def test_every_size_comes_back_byte_for_byte(self):
        for size in SIZES:
            with self.subTest(size=size):
                content = bytes_of(size, size)
                path = self.write("in.bin", content)
                file_id, name = self.cairn("put", path).decode().rstrip("\n").split("\t")
                self.assertEqual(name, path)
                self.assertLessEqual(len(file_id), 77)
                self.cairn("get", file_id, "-o", self.path("out.bin"))
                self.assertEqual(self.read("out.bin"), content)

    def test_streams_go_in_and_come_out(self):
        for size in SIZES:
            with self.subTest(size=size):
                content = bytes_of(size + 1, size)
                self.assertEqual(self.get(self.put(content)), content)

    def test_a_pipe_is_written_to_and_stays_a_pipe(self):
        content = bytes_of(3, 40000)
        file_id = self.put(content)
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            self.cairn("get", file_id, "-o", pipe)
            self.assertEqual(reader.communicate(timeout=20)[0], content)
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))
        os.unlink(pipe)
        self.cairn("get", file_id, "-o", "/dev/full", code=1)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/full").st_mode))

    def test_ranges_include_both_ends(self):
        content = bytes_of(7, 700000)
        file_id = self.put(content)
        for first, last in [(0, 0), (0, 99), (65535, 65536), (262143, 300000), (699999, 699999)]:
            got = self.get(file_id, "--range", f"{first}-{last}")
            self.assertEqual(got, content[first : last + 1])
        self.assertEqual(self.get(file_id, "--range", "600000-"), content[600000:])

    def test_a_range_outside_is_a_usage_error(self):
        file_id = self.put(b"short")
        self.get(file_id, "--range", "100-200", code=USAGE)

    def test_a_tree_comes_back_whole(self):
        tree = {
            "a.txt": b"a",
            "empty": b"",
            "sub/b with space.bin": bytes_of(1, 300000),
            "sub/deep/er/c\tand\nnewline": b"c",
            "sub/\xc3\xbcml.txt": b"u",
        }
        for name, content in tree.items():
            self.write("tree/" + name, content)
        output = self.cairn("put", "-r", "tree", "--manifest", "m", "--jobs", "4")
        self.assertEqual(len(output.splitlines()), 5 + 1)  # one name has a newline in it
        self.cairn("get", "-r", "m", "-o", "copy")
        found = {}
        for folder, _, names in os.walk(self.path("copy")):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.path("copy", "tree"))] = file.read()
        self.assertEqual(found, tree)

    def test_a_failed_get_leaves_nothing_under_the_name(self):
        file_id = self.put(b"x")
        self.cairn("rm", file_id)
        self.cairn("get", file_id, "-o", self.path("out"), code=NOT_FOUND)
        self.assertEqual(os.listdir(self.dir), [])

    def test_some_files_that_fail_are_named_and_partial(self):
        self.write("good", b"good")
        output = self.cairn("put", "good", "missing", code=PARTIAL)
        self.assertEqual(len(output.splitlines()), 1)
        self.assertIn("missing", self.talk)
        self.assertNotIn("good", self.talk)

    def test_a_directory_needs_the_recursive_flag(self):
        self.write("tree/a", b"a")
        self.cairn("put", "tree", code=USAGE)
        self.assertIn("-r", self.talk)

    def test_links_are_followed_to_files_and_cycles_end(self):
        self.write("tree/a", b"a")
        os.symlink("a", self.path("tree", "to-file"))
        os.symlink("..", self.path("tree", "to-directory"))
        lines = self.cairn("put", "-r", "tree").splitlines()
        self.assertEqual(len(lines), 2)


class Modify(ClusterTest):
    def setUp(self):
        super().setUp()
        self.id = self.put(b"0123456789", "--mutable")

    def test_replace_write_append_truncate(self):
        self.cairn("modify", self.id, "-", stdin=b"abcdefgh")
        self.assertEqual(self.get(self.id), b"abcdefgh")
        self.cairn("modify", self.id, "-", "--offset", "2", stdin=b"XY")
        self.assertEqual(self.get(self.id), b"abXYefgh")
        self.cairn("modify", self.id, "-", "--append", stdin=b"!!")
        self.assertEqual(self.get(self.id), b"abXYefgh!!")
        self.cairn("modify", self.id, "--truncate", "4")
        self.assertEqual(self.get(self.id), b"abXY")

    def test_growing_out_of_the_slot_keeps_the_id(self):
        content = bytes_of(3, 3 << 20)
        self.cairn("modify", self.id, "-", stdin=content)
        self.assertEqual(self.get(self.id), content)
        self.assertEqual(self.get(self.id, "--range", "1000000-1000009"), content[1000000:1000010])

    def test_compare_and_set(self):
        version = self.cairn_json("stat", self.id)[0]["version"]
        self.cairn("modify", self.id, "-", "--if-version", version, stdin=b"first")
        self.cairn("modify", self.id, "-", "--if-version", version, stdin=b"second", code=CONFLICT)
        self.assertEqual(self.get(self.id), b"first")
        self.cairn("get", self.id, "--if-version", version, code=CONFLICT)
        self.cairn("rm", self.id, "--if-version", version, code=CONFLICT)

    def test_an_immutable_file_refuses(self):
        file_id = self.put(b"stone", "--immutable")
        self.cairn("modify", file_id, "-", stdin=b"x", code=CONFLICT)
        self.assertEqual(self.get(file_id), b"stone")


class Facts(ClusterTest):
    def test_stat_tells_what_was_stored(self):
        content = bytes_of(9, 5000)
        file_id = self.put(content, "--mutable", "--content-type", "text/x-test", "--metadata",
            'quote " and \\ and ü', "--suffix", "tst", "--slack", "4K")
        stat = self.cairn_json("stat", file_id)[0]
        self.assertEqual(stat["id"], file_id)
        self.assertEqual(stat["size"], len(content))
        self.assertEqual(int(stat["crc32"], 16), zlib.crc32(content))
        self.assertEqual(stat["content_type"], "text/x-test")
        self.assertEqual(stat["metadata"], 'quote " and \\ and ü')
        self.assertTrue(stat["mutable"])
        self.assertGreaterEqual(stat["capacity"], len(content) + 4096)
        self.assertTrue(file_id.endswith(".tst"))
        self.assertIn("version", self.cairn("stat", file_id).decode())

    def test_put_tells_everything_in_json(self):
        self.write("a", b"hello")
        told = self.cairn_json("put", "a", "--ack", "memory")[0]
        self.assertEqual(told["path"], "a")
        self.assertEqual(told["size"], 5)
        self.assertEqual(int(told["crc32"], 16), zlib.crc32(b"hello"))
        self.assertIn(told["ack"], ("memory", "local"))
        self.assertEqual(self.get(told["id"]), b"hello")

    def test_ls_finds_what_was_stored(self):
        ids = {self.put(bytes([i]) * (i * 1000)) for i in range(5)}
        gone = self.put(b"gone")
        self.cairn("rm", gone)
        listed = {entry["id"]: entry for entry in self.cairn_json("ls")}
        self.assertLessEqual(ids, set(listed))
        self.assertNotIn(gone, listed)
        text = self.cairn("ls", "--storage", self.server.storage).decode()
        self.assertTrue(all(file_id in text for file_id in ids))

    def test_ls_since_leaves_out_what_is_older(self):
        self.put(b"old")
        self.assertEqual(self.cairn_json("ls", "--since", "2100-01-01"), [])

    def test_status_is_readable_and_json(self):
        self.assertIn(b"m", self.cairn("status"))
        self.assertIn("storages", self.cairn_json("status")[0])


class Errors(ClusterTest):
    def test_what_is_not_there_is_not_found(self):
        file_id = self.put(b"x")
        self.cairn("rm", file_id)
        self.cairn("get", file_id, code=NOT_FOUND)
        self.cairn("stat", file_id, code=NOT_FOUND)
        self.cairn("rm", file_id)  # deleted already: harmless
        self.assertIn("was not there", self.talk)
        self.cairn("modify", file_id, "-", stdin=b"y", code=NOT_FOUND)

    def test_several_of_which_one_is_missing_are_partial(self):
        first, second = self.put(b"1"), self.put(b"2")
        self.cairn("rm", "no-id", first, second, code=PARTIAL)
        self.assertIn("no-id", self.talk)
        self.cairn("stat", first, code=NOT_FOUND)
        self.cairn("stat", second, code=NOT_FOUND)

    def test_what_is_no_id_is_a_usage_error(self):
        self.cairn("get", "no-id", code=USAGE)
        self.cairn("stat", "g1/M00/00/00/" + "!" * 34, code=USAGE)

    def test_bad_usage(self):
        for words in (["put"], ["get"], ["rm"], ["stat"], ["modify", "x"], ["put", "--nonsense", "x"],
            ["put", "x", "--slack", "2000%"], ["get", "x", "--range", "5"], ["ls", "--since", "then"],
            ["modify", "x", "y", "--append", "--offset", "1"], ["get", "-r", "m"],
            ["put", "x", "--mutable", "--immutable"]):
            with self.subTest(words=words):
                self.cairn(*words, code=USAGE)

    def test_nobody_there_is_unavailable(self):
        self.cairn("stat", self.put(b"x"), "--timeout", "2s", "--retries", "1", code=UNAVAILABLE,
            tracker="127.0.0.1:1")
        self.assertIn("127.0.0.1:1", self.talk)

    def test_a_second_tracker_helps(self):
        file_id = self.put(b"x")
        got = self.cairn("get", file_id, "--tracker", self.server.tracker, tracker="127.0.0.1:1")
        self.assertEqual(got, b"x")

    def test_the_wrong_storage_may_not_answer(self):
        file_id = self.put(b"x")
        machine = self.cairn_json("stat", file_id)[0]["machine"]
        self.assertEqual(self.get(file_id, "--storage", str(machine)), b"x")
        self.get(file_id, "--storage", str(machine + 1), "--retries", "0", code=UNAVAILABLE)

    def test_help_of_every_verb_is_worth_reading(self):

        from cluster import CAIRN

        overview = subprocess.run([CAIRN, "help"], capture_output=True, text=True).stdout
        verbs = [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]
        verbs = [verb for verb in verbs if verb not in ("help", "version", "cairn")]
        self.assertGreaterEqual(len(verbs), 12)
        for verb in verbs:
            result = subprocess.run([CAIRN, verb, "--help"], capture_output=True, text=True)
            self.assertEqual(result.returncode, OK, verb)
            for part in ("Usage:", "Options:", "Examples:", "Exit codes:"):
                self.assertIn(part, result.stdout, verb)


if __name__ == "__main__":
    unittest.main()
