"""What the drills share: a server that is looked at from outside, and files with contents to know again."""

import contextlib
import errno
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from cluster import CAIRN, ClusterTest, Server
from native_client import Connection

MIB = 1 << 20

# Small chunks and logs: checkpoints, new chunks and the reuse of log segments happen within seconds.
SMALL = ["--chunk-size", "16MiB", "--log-segment-size", "4MiB", "--log-segments", "4",
    "--checkpoint-bytes", "4MiB", "--streams", "2"]


class Watched(Server):
    """A server whose process is looked at; `prefix` goes in front of its command."""

    def __init__(self, data, *flags, prefix=()):
        self.prefix = prefix
        super().__init__(data, *flags)

    def command(self):
        return [*self.prefix, *super().command()]

    @property
    def pid(self):
        return self.process.pid

    def is_alive(self):
        return self.process.poll() is None

    def descriptors(self):
        return os.listdir(f"/proc/{self.pid}/fd")

    def descriptor_count(self):
        return len(self.descriptors())

    def resident(self):
        """Bytes of memory that are really there."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("the process has no VmRSS")

    def connect(self, **how):
        return Connection(self.storage, **how)

    def status(self):
        with self.connect() as connection:
            return connection.status()

    def log_text(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()


class DrillTest(ClusterTest):
    """As ClusterTest, with a Watched server."""

    @classmethod
    def make_server(cls):
        return Watched(os.path.join(cls.root, "data"), *cls.flags)


class OwnServerTest(ClusterTest):
    """Each test starts its own servers; self.server is the one that commands go to. `in_memory`: where the
    disk is not what is drilled, a busy one need not make the drill slow."""

    in_memory = False

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="cairn-test-", dir=memory_directory() if cls.in_memory else None)
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)

    def start_server(self, name="data", *flags, **how):
        server = Watched(self.path(name), *(flags or self.flags), **how)
        self.addCleanup(server.kill)
        return server


def memory_directory():
    """A directory of a tmpfs with room, or None: then the usual one."""
    path = "/dev/shm"
    is_good = os.path.isdir(path) and os.access(path, os.W_OK) and shutil.disk_usage(path).free > 2048 * MIB
    return path if is_good else None


def until(is_true, seconds=10, what="it"):
    """Ask again and again until it is true, or fail after so many seconds."""
    end = time.monotonic() + seconds
    while not (result := is_true()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)
    return result


def settled(read, seconds=20, quiet=1.3):
    """What read() gives when it has given the same for so long: servers look at their disks each second."""
    end = time.monotonic() + seconds
    last, since = read(), time.monotonic()
    while time.monotonic() - since < quiet:
        if time.monotonic() > end:
            raise AssertionError(f"{last} had not settled within {seconds} s")
        time.sleep(0.1)
        now = read()
        if now != last:
            last, since = now, time.monotonic()
    return last


def disk_bytes(path):
    """Bytes that a directory takes on its disk. Files may go away meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def content_of(seed, size):
    """The same bytes for the same seed and size, and no two alike."""
    return random.Random(f"{seed} {size}").randbytes(size)


class Source:
    """A tree of files with known contents: `paths` relative to `root`, as a manifest names them."""

    def __init__(self, root, name, count, seed=1):
        self.root = root
        self.sizes = {}
        dice = random.Random(seed)
        for i in range(count):
            path = f"{name}/{i % 50:02}/{i:05}.bin"
            size = dice.choice([0, 1, 100, 1000, 4000, 4096, 10000, 30000])
            if i % 200 == 0:
                size = dice.randrange(64 * 1024, 900 * 1024)
            self.sizes[path] = size
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "wb") as file:
                file.write(content_of(path, size))

    def content(self, path):
        return content_of(path, self.sizes[path])


def manifest_entries(path):
    """{path: (id, size)} of the whole lines of a manifest; bytes as they stand there."""
    entries = {}
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(b"#") or not line.endswith(b"\n"):
                continue
            file_id, size, _, _, name = line.rstrip(b"\n").split(b"\t")
            entries[name] = (file_id.decode(), int(size))
    return entries


def compare_trees(test, left, right):
    """Same names, same bytes. Reads `right` as bytes: names may be anything."""
    for folder, folders, names in os.walk(os.fsencode(left)):
        other = os.path.join(os.fsencode(right), os.path.relpath(folder, os.fsencode(left)))
        for name in names:
            with open(os.path.join(folder, name), "rb") as mine, open(os.path.join(other, name), "rb") as theirs:
                test.assertTrue(mine.read() == theirs.read(), os.path.join(folder, name))
    test.assertEqual(count_files(left), count_files(right))


def count_files(path):
    return sum(len(names) for _, _, names in os.walk(os.fsencode(path)))


@contextlib.contextmanager
def small_disk(size):
    """A file system of its own of so many bytes: ext4 on a loop device, else tmpfs; skips without
    either. Yields (its directory, its kind); it is gone at the end, whatever happens."""
    root = tempfile.mkdtemp(prefix="cairn-disk-")
    where = os.path.join(root, "disk")
    os.mkdir(where)
    try:
        kind = mount_something(root, where, size)
        if kind is None:
            raise unittest.SkipTest("no file system can be mounted here")
        try:
            yield where, kind
        finally:
            unmount(where)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def mount_something(root, where, size):
    image = os.path.join(root, "image")
    with open(image, "wb") as file:
        file.truncate(size)
    for kind, commands in (
        ("ext4", [["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, where]]),
        ("tmpfs", [["mount", "-t", "tmpfs", "-o", f"size={size}", "none", where]]),
    ):
        with contextlib.suppress(OSError):
            if all(subprocess.run(command, capture_output=True).returncode == 0 for command in commands):
                return kind
        print(f"no {kind} can be mounted here")
    return None


def unmount(where):
    until(lambda: subprocess.run(["umount", where], capture_output=True).returncode == 0, 20, f"umount {where}")


def fill_up(path):
    """Take every byte that is left on the disk."""
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\xff" * size)
    try:
        with open(path + "-more", "wb", buffering=0) as file:
            file.write(b"\xff" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
