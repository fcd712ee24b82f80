"""`cairn top` on a real server: one screen for a pipe, and live in a terminal (a pty of 80 columns and 24 lines)."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from cluster import COMMAND_SECONDS, OK, UNAVAILABLE, ClusterTest

BEGIN, END, HOME = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[H"


class Terminal:
    """A command in a pty."""

    def __init__(self, words):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.output = b""

    def read_until(self, condition):
        end = time.monotonic() + COMMAND_SECONDS
        while not condition(self.output):
            if time.monotonic() > end:
                raise AssertionError(self.output)
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 65536)

    def end(self):
        """The exit code."""
        code = self.process.wait(COMMAND_SECONDS)
        self.read_until(lambda output: END in output)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def screens(output):
    """The screens that were drawn, as lines of text."""
    parts = output.split(BEGIN, 1)[1].split(END)[0].split(HOME)[1:]
    return [re.sub(rb"\x1b\[[?\d;]*[A-Za-z]", b"", part).decode().split("\r\n") for part in parts]


class TopTest(ClusterTest):
    def live(self):
        terminal = Terminal(self.command("top", "--interval", "200ms"))
        self.addCleanup(terminal.close)
        return terminal

    def test_one_screen_for_a_pipe_shows_rates_latencies_lag_disks_and_budget(self):
        with subprocess.Popen(self.command("top", "--once", "--interval", "2s"), stdout=subprocess.PIPE) as top:
            path = self.write("a", b"x" * 3000)
            end = time.monotonic() + COMMAND_SECONDS
            while top.poll() is None and time.monotonic() < end:
                self.cairn("put", path)
            text = top.stdout.read().decode()
        self.assertEqual(top.returncode, OK)
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        self.assertNotIn("\x1b", text)
        self.assertRegex(text, r"^cairn top \d\d:\d\d:\d\d  HEALTH_\w+  1/1 running  ")  # the disk of the test may be rather full
        self.assertRegex(text, r"per second +(?!0 )[\d.]+k? +0 ")
        self.assertRegex(text, r"99% in +[\d.]+ [mu]?s +- ")
        self.assertRegex(text, r"m001 +running +(?!0 )[\d.]+ +0 +- +[\d.]+ [mu]?s +- +0 +\d+% +\d+% +\d+%")
        self.assertRegex(text, r"m001/0 +online +[\d.]+ .iB of +[\d.]+ .iB +[\d.]+ ")

    def test_in_a_terminal_the_screen_is_drawn_again_and_again_until_q(self):
        terminal = self.live()
        terminal.read_until(lambda output: output.count(HOME) >= 4)
        os.write(terminal.master, b"xq")
        self.assertEqual(terminal.end(), OK)
        drawn = screens(terminal.output)
        self.assertGreaterEqual(len(drawn), 4)
        for lines in drawn:
            self.assertLessEqual(len(lines), 24)
            self.assertTrue(all(len(line) <= 80 for line in lines), lines)
            self.assertTrue(lines[0].startswith("cairn top "), lines)
        self.assertTrue(any(line.startswith("m001   running") for line in drawn[3]), drawn[3])
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)

    def test_an_interrupt_leaves_the_terminal_as_it_was(self):
        terminal = self.live()
        terminal.read_until(lambda output: output.count(HOME) >= 2)
        self.assertNotEqual(termios.tcgetattr(terminal.slave), terminal.before)
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), OK)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)

    def test_programs_get_one_object_per_storage(self):
        lines = self.cairn("top", "--once", "--json", "--interval", "200ms").splitlines()
        self.assertEqual([json.loads(line)["node"] for line in lines], ["m001"])
        row = json.loads(lines[0])
        self.assertTrue(row["answers"])
        self.assertEqual(set(row["verbs"]), {"upload", "find", "modify", "delete", "stat", "list"})
        self.assertGreater(row["descriptors"], 10)

    def test_without_a_tracker_it_ends(self):
        self.cairn("top", "--once", "--retries", "0", code=UNAVAILABLE, tracker="127.0.0.1:1")


if __name__ == "__main__":
    unittest.main()
