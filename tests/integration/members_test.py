"""Members of a group as real processes: joining, leaving, a tracker that is lost, numbers that clash, disks that are lost,
and what `cairn member` says and does."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from cluster import CAIRN, CONFLICT, NOT_FOUND, OK, UNAVAILABLE, USAGE
from group import Group, Storage, enter_namespace
from native_client import LOCAL, ONE, Refused

SMALL = ["--chunk-size", "4MiB", "--log-segment-size", "2MiB", "--log-segments", "8", "--checkpoint-bytes", "4MiB",
    "--streams", "1", "--loops", "1", "--member-wait", "2s"]


class Members(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-members-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def group(self, count, flags=()):
        group = Group(self.root, count, [*SMALL, *flags])
        self.addCleanup(group.close)
        return group

    def members(self, group, code=OK):
        """{machine: line of `cairn member list --json`} of the living; those that were removed as a list."""
        result, out, err = group.cairn("member", "list", "--json")
        self.assertEqual(result, code, err)
        lines = [json.loads(line) for line in out.splitlines()]
        return ({line["machine"]: line for line in lines if not line["removed"]},
            [line["machine"] for line in lines if line["removed"]])

    def has_line(self, storage, *words):
        return any(all(word in line for word in words) for line in storage.tail(100_000).splitlines())

    def test_storages_that_start_together_know_each_other_and_keep_it(self):
        with self.group(3) as group:
            group.wait_until(lambda: len(self.members(group)[0]) == 3, 10, "everybody knows everybody")
            for storage in group.storages:
                group.wait_until(lambda: os.path.exists(os.path.join(storage.data, "cairn.members")), 10, "it is kept")
                self.assertEqual(storage.stop(), 0)
            group.tracker.end(9)
            for storage in group.storages:
                storage.start()  # no tracker tells them anything now
            group.wait_running(30)
            for storage in group.storages:
                self.assertTrue(self.has_line(storage, " state ", "state=csyncing"), storage.tail())

    def test_a_storage_with_new_disks_waits_for_a_tracker(self):
        group = self.group(1)
        storage = group.storages[0]
        storage.start(must_be_ready=False)
        group.wait_until(lambda: "no tracker has answered" in storage.tail(), 10, "it says what it waits for")
        group.tracker.start()
        group.wait_until(lambda: storage.state() == "running", 10, "it runs when a tracker has answered")
        self.assertEqual(storage.stop(), 0)
        group.tracker.end(9)
        storage.start()  # its disks are not new any more
        group.wait_until(lambda: storage.state() == "running", 2, "it runs at once")

    def test_a_storage_that_waits_can_be_stopped_and_one_that_is_alone_does_not_wait(self):
        group = self.group(1)
        storage = group.storages[0]
        storage.start(must_be_ready=False)
        group.wait_until(lambda: "no tracker has answered" in storage.tail(), 10, "it waits")
        self.assertEqual(storage.stop(), 0)
        storage.words.append("--alone")
        storage.start()
        group.wait_until(lambda: storage.state() == "running", 5, "it runs")

    def test_who_is_away_is_not_waited_for_for_ever(self):
        with self.group(2) as group:
            first, second = group.storages
            group.wait_until(lambda: len(self.members(group)[0]) == 2, 10, "both know each other")
            second.kill()
            self.assertEqual(first.stop(), 0)
            first.start()
            self.assertEqual(first.state(), "csyncing")
            with first.connect() as connection:
                with self.assertRaises(Refused) as refusal:
                    connection.upload(b"x", ack=LOCAL)
                self.assertEqual(refusal.exception.name, "UNAVAILABLE")
            group.wait_until(lambda: first.state() == "running", 10, "it gives up waiting")

    def test_a_number_belongs_to_one_disk(self):
        with self.group(2) as group:
            group.wait_until(lambda: len(self.members(group)[0]) == 2, 10, "both know each other")
            twin = Storage.__new__(Storage)
            twin.__dict__.update(group.storages[1].__dict__)
            twin.data = os.path.join(self.root, "twin")
            twin.log_path = twin.data + ".log"
            os.makedirs(twin.data)
            host = group.storages[1].host
            twin.words = [w.replace(group.storages[1].data, twin.data) for w in twin.words]
            twin.words = [f"{host}:7999" if w == group.storages[1].address else w for w in twin.words]
            twin.start(must_be_ready=False)
            self.addCleanup(twin.kill)
            group.wait_until(lambda: self.has_line(twin, "tracker_refuses", "machine number 2"), 10, "it is refused")
            self.assertEqual(group.storages[1].state(), "running")
            self.assertEqual(twin.stop(), 0)

    def test_drained_storages_get_no_uploads(self):
        with self.group(2) as group:
            group.wait_until(lambda: len(self.members(group)[0]) == 2, 10, "both know each other")
            code, out, err = group.cairn("member", "drain", "m001")
            self.assertEqual(code, OK, err)
            self.assertIn("would be done", out)
            self.assertIn("--yes", err)
            self.assertFalse(self.members(group)[0][1]["draining"])
            self.assertEqual(group.cairn("member", "drain", "m001", "--yes")[0], OK)
            path = os.path.join(self.root, "x")
            with open(path, "wb") as file:
                file.write(b"hello")
            for _ in range(6):
                code, out, err = group.cairn("put", path, "--json")
                self.assertEqual(code, OK, err)
                self.assertEqual(json.loads(out)["machine"], 2)
            self.assertEqual(group.storages[0].stop(), 0)
            group.storages[0].start()
            group.wait_running(30)
            self.assertTrue(self.members(group)[0][1]["draining"], "it is kept")
            self.assertEqual(group.cairn("member", "drain", "m001", "--undo", "--yes")[0], OK)
            self.assertFalse(self.members(group)[0][1]["draining"])

    def test_who_was_removed_does_not_come_back(self):
        with self.group(3) as group:
            group.wait_until(lambda: len(self.members(group)[0]) == 3, 10, "everybody knows everybody")
            code, out, err = group.cairn("member", "remove", "m003", "--yes")
            self.assertEqual(code, CONFLICT, err)
            self.assertIn("alive", err)
            third = group.storages[2]
            self.assertEqual(third.stop(), 0)
            group.wait_until(lambda: group.cairn("member", "remove", "m003")[0] == OK, 10, "it may be removed")
            self.assertEqual(sorted(self.members(group)[0]), [1, 2, 3], "that was a dry run")
            code, out, err = group.cairn("member", "remove", "m003", "--yes")
            self.assertEqual(code, OK, err)
            living, removed = self.members(group)
            self.assertEqual((sorted(living), removed), ([1, 2], [3]))
            self.assertEqual(group.cairn("member", "remove", "m003", "--yes")[0], NOT_FOUND)
            third.start(must_be_ready=False)
            group.wait_until(lambda: self.has_line(third, "member_refuses", "removed"), 20, "it is told")
            self.assertNotEqual(third.state(), "running")
            third.kill()
            for storage in group.storages[:2]:
                self.assertEqual(storage.stop(), 0)
                storage.start()
            group.wait_until(lambda: [s.state() for s in group.storages[:2]] == ["running"] * 2, 20, "both run")
            self.assertEqual(self.members(group)[1], [3], "it is kept")

    def test_what_a_dead_storage_brought_to_one_mirror_all_get(self):
        with self.group(3) as group:
            group.wait_until(lambda: len(self.members(group)[0]) == 3, 10, "everybody knows everybody")
            first, second, third = group.storages
            self.assertEqual(group.cairn("member", "adopt", "m001", "--yes")[0], CONFLICT, "it is alive")
            third.stop()
            with first.connect() as connection:
                name = connection.upload(b"only two have it", ack=ONE)["id"]
            first.kill()
            third.start()
            group.wait_until(lambda: second.state() == "running" and third.state() == "running", 60, "two run")
            group.wait_until(lambda: group.cairn("member", "adopt", "m001", "--yes")[0] == OK, 15, "it is adopted")

            def third_has_it():
                with third.connect() as connection:
                    try:
                        return connection.find(name, local_only=1) == b"only two have it"
                    except Refused:
                        return False
            group.wait_until(third_has_it, 30, "the third has it, too")
            self.assertEqual(group.cairn("member", "remove", "m001", "--yes")[0], OK)
            self.assertEqual(group.cairn("get", name)[:2], (OK, "only two have it"))

    def test_a_storage_that_lost_its_disks_takes_its_number_over_and_is_filled(self):
        group = self.group(2, ["--claim", "3s"])
        group.tracker.words += ["--claim", "3s"]
        with group:
            group.wait_until(lambda: len(self.members(group)[0]) == 2, 10, "both know each other")
            first, second = group.storages
            names = {}
            with second.connect() as connection:
                for size in (0, 100, 5000, 300_000, 700_000):
                    content = os.urandom(size)
                    names[connection.upload(content, ack=ONE)["id"]] = content
            second.kill()
            second.empty()
            second.start(must_be_ready=False)
            group.wait_until(lambda: second.state() == "running", 60, "it is filled and runs")
            self.assertTrue(self.has_line(second, " state ", "state=dsyncing"), second.tail())
            with second.connect() as connection:
                for name, content in names.items():
                    self.assertEqual(connection.find(name, local_only=1), content)
                again = connection.upload(b"new", ack=ONE)["id"]
            self.assertNotIn(again, names)
            self.assertEqual(self.members(group)[1], [2], "the old disks never come back")

    def test_wrong_words_are_usage_errors(self):
        with self.group(1) as group:
            for words in ([], ["sing"], ["remove"], ["remove", "x"], ["list", "m001"], ["remove", "m1", "--undo"]):
                self.assertEqual(group.cairn("member", *words)[0], USAGE, words)
            self.assertEqual(group.cairn("member", "remove", "m009", "--yes")[0], NOT_FOUND)
            self.assertEqual(group.cairn("member", "remove", "m001", "--yes")[0], UNAVAILABLE)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
