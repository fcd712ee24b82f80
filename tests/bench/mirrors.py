#!/usr/bin/env python3
"""How far mirrors lag, and how fast they catch up and are rebuilt.

usage: mirrors.py [--cairn PROGRAM] [--storages N] [--seconds S] [--files N] [--json] [PART...]

Tracker, storages, the load and this program share the machine's processors. Parts:

  lag      the most small uploads per second that the group takes (acknowledged local), how the lag behaves meanwhile;
           then half of that rate, and how long an uploaded file needs until every other storage serves it
  catchup  a storage is away while N files of 4 KiB come in; how long until it is level again, beside `cp -r` of a
           directory with as many files of the same size (and that with a sync behind it)
  rebuild  the same for a storage whose disk was emptied
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../integration"))


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


class Probe(threading.Thread):
    """Uploads a small file at one storage now and then, and asks the others for it until they have it."""

    def __init__(self, group):
        super().__init__()
        self.group, self.is_over, self.lags_ms, self.failure = group, threading.Event(), [], None

    def run(self):
        from native_client import Refused
        connections = [storage.connect() for storage in self.group.storages]
        number = 0
        while not self.is_over.is_set():
            number += 1
            origin = number % len(connections)
            try:
                name = connections[origin].upload(b"probe %d" % number)["id"]
                began = time.monotonic()
                for i, connection in enumerate(connections):
                    while i != origin:
                        try:
                            connection.find(name, local_only=1)
                            break
                        except Refused:
                            if time.monotonic() - began > 20:
                                raise
                self.lags_ms.append((time.monotonic() - began) * 1000)
            except Exception as error:
                self.failure = error
                break
            time.sleep(0.01)
        for connection in connections:
            connection.close()


def bench(cairn, group, *flags):
    out = subprocess.run([cairn, "bench", "--tracker", group.tracker_address, "--sizes", "4K", "--clients", "32",
        "--ack", "local", "--keep", "--puts-only", "--json", "-q", *flags], capture_output=True, check=True)
    return json.loads(out.stdout.splitlines()[0])


def probed(cairn, group, *flags):
    probe = Probe(group)
    probe.start()
    result = bench(cairn, group, *flags)
    probe.is_over.set()
    probe.join()
    return result, probe


def positions(storage):
    """{mirror: lag in records} as the storage itself says."""
    status = storage.status()
    return {mirror["machine"]: mirror for mirror in status.get("mirrors", [])}


def wait_level(group, seconds=600):
    """Until nobody lags behind anybody."""
    def is_level():
        return all(mirror["lag_records"] == 0 and mirror["state"] == "running"
            for storage in group.storages for mirror in positions(storage).values())
    group.wait_until(is_level, seconds, "all mirrors are level")


def measure_lag(args, group):
    fastest, busy = probed(args.cairn, group, "--seconds", f"{args.seconds}s")
    rate = fastest["operations_per_second"]
    wait_level(group)
    half, calm = probed(args.cairn, group, "--seconds", f"{args.seconds}s", "--rate", str(max(1, int(rate / 2))))
    wait_level(group)
    result = {"uploads_per_second": round(rate), "lag_ms_at_maximum": {"p50": quantile(busy.lags_ms, 0.5),
        "p99": quantile(busy.lags_ms, 0.99), "max": max(busy.lags_ms, default=None), "probes": len(busy.lags_ms)},
        "half_rate": round(half["operations_per_second"]), "lag_ms_at_half": {"p50": quantile(calm.lags_ms, 0.5),
        "p99": quantile(calm.lags_ms, 0.99), "max": max(calm.lags_ms, default=None), "probes": len(calm.lags_ms)},
        "failures": [str(probe.failure) for probe in (busy, calm) if probe.failure]}
    return result


def copy_seconds(root, files, size=4096):
    """(seconds of cp -r, the same with a sync) of a directory with as many files."""
    source, target = os.path.join(root, "plain"), os.path.join(root, "copy")
    content = random.Random(1).randbytes(size)
    os.makedirs(source)
    for number in range(files):
        if number % 1000 == 0:
            os.makedirs(os.path.join(source, f"{number // 1000:03d}"))
        with open(os.path.join(source, f"{number // 1000:03d}", str(number)), "wb") as file:
            file.write(content)
    subprocess.run(["sync", "-f", source], check=True)
    began = time.monotonic()
    subprocess.run(["cp", "-r", source, target], check=True)
    copied = time.monotonic() - began
    subprocess.run(["sync", "-f", target], check=True)
    synced = time.monotonic() - began
    shutil.rmtree(source)
    shutil.rmtree(target)
    return copied, synced


def measure_return(args, group, must_empty):
    """A storage is away while files come in (or loses what it had); how long until it is level?"""
    away = group.storages[-1]
    if not must_empty:
        away.stop()
    bench(args.cairn, group, "--seconds", "1h", "--count", str(args.files))
    if must_empty:
        wait_level(group)
        away.stop()
        away.empty()
    copied, synced = copy_seconds(group.root, args.files)
    began = time.monotonic()
    away.start()
    group.wait_running(1200)
    wait_level(group, 1200)
    took = time.monotonic() - began
    return {"files": args.files, "seconds": took, "copy_seconds": copied, "copy_and_sync_seconds": synced,
        "speed_of_copy": copied / took, "speed_of_copy_and_sync": synced / took}


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("parts", nargs="*", default=["lag", "catchup", "rebuild"])
    parser.add_argument("--cairn", default=os.path.join(HERE, "../../build/release/cairn"))
    parser.add_argument("--storages", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--files", type=int, default=100_000)
    args = parser.parse_args()
    os.environ["CAIRN"] = os.path.abspath(args.cairn)
    from group import Group
    results = {}
    for part in args.parts:
        root = tempfile.mkdtemp(prefix="cairn-mirrors-")
        try:
            with Group(root, args.storages) as group:
                results[part] = measure_lag(args, group) if part == "lag" else measure_return(
                    args, group, part == "rebuild")
        finally:
            shutil.rmtree(root, ignore_errors=True)
        print(part, json.dumps(results[part], indent=2), flush=True)


if __name__ == "__main__":
    main()
