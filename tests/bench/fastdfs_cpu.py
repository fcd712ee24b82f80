"""Processor time (user and kernel) that the server spends on one upload and one download of 4 KiB, by the native door and
by FastDFS's: the same server, one connection each, in turns; the median over the rounds, paired.

    CAIRN=build/release/cairn python3 tests/bench/fastdfs_cpu.py [OPERATIONS [ROUNDS]]

Counting instructions would be steadier, but callgrind does not know the system call openat2, without which no storage
starts."""

import os
import random
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
import cluster  # noqa: E402
import fastdfs_client as fdfs  # noqa: E402
from native_client import Connection  # noqa: E402

OPERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 21
CONTENT = random.Random(1).randbytes(4096)


def cpu_ns(pid):
    """Of all threads: the first number of schedstat."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def measure(server, work):
    before = cpu_ns(server.process.pid)
    for _ in range(OPERATIONS):
        work()
    return (cpu_ns(server.process.pid) - before) / OPERATIONS


def report(verb, own, other):
    ratios = sorted(b / a for a, b in zip(own, other))
    quarter = len(ratios) // 4
    print(f"{verb}: native {statistics.median(own) / 1000:.1f} us, FastDFS {statistics.median(other) / 1000:.1f} us, "
          f"paired {100 * (statistics.median(ratios) - 1):+.1f} % "
          f"(quartiles {100 * (ratios[quarter] - 1):+.1f} .. {100 * (ratios[-1 - quarter] - 1):+.1f} %)")


def main():
    root = tempfile.mkdtemp(prefix="cairn-cpu-")
    server = cluster.Server(os.path.join(root, "data"), "--fastdfs", "--loops", "1")
    try:
        native, door = Connection(server.storage), fdfs.Storage(server.ready["fastdfs"], "g1")
        native_id, door_id = native.upload(CONTENT, is_mutable=0)["id"], door.upload(CONTENT, "bin")
        for verb, own, other in (
                ("upload", lambda: native.upload(CONTENT, is_mutable=0), lambda: door.upload(CONTENT, "bin")),
                ("download", lambda: native.find(native_id), lambda: door.download(door_id))):
            measure(server, own), measure(server, other)
            pairs = [(measure(server, own), measure(server, other)) for _ in range(ROUNDS)]
            report(verb, *zip(*pairs))
    finally:
        server.kill()
        shutil.rmtree(root, ignore_errors=True)


main()
