#!/usr/bin/env python3
"""Cairn's doors beside nginx and the plain loops, in one run, alternating, with the same files and clients.

usage: doors.py [--build DIR] [--dir DIR] [--loops 1,2] [--rounds N] [--seconds S] [--cells LIST]
                [--minutes M] [--plot FILE.svg] [--results FILE.json]

Contestants: Cairn's native protocol (cairn bench), Cairn's HTTP (http_load), nginx with sendfile and
open_file_cache, nginx DAV (http_load), and the plain loops (limits). A cell is one operation, size and
number of connections; in each round every contestant runs once, the order turns by one. The table has
medians: operations per second, the ratio to the plain loop, server CPU and system calls (perf) for each
operation, p99, resident memory. One loop: servers on CPU 0, clients on CPU 1. Two loops: both on both.
Needs nginx; perf for system calls (else they are left out). Ends by itself; removes what it made.
"""

import argparse
import contextlib
import json
import math
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import compare
from compare import forget_pages, on_cpus, parse_size, process_seconds, show_rate, show_size, show_us

# name: (size or "mix", files)
SETS = {"4K": (4096, 8000), "64K": (65536, 2000), "1M": (1 << 20, 128), "16M": (16 << 20, 8), "mix": ("mix", 3000)}
CELLS = ["find-4K-1", "find-4K-32", "find-4K-256", "find-4K-1000", "find-mix-32", "find-64K-32", "find-1M-32",
    "find-16M-8", "cold-4K-32", "cold-64K-32", "upload-4K-32", "upload-4K-256", "upload-64K-32", "upload-1M-8",
    "modify-4K-32", "delete-4K-32"]
COLOURS = {"plain": "#999999", "plain sendfile": "#cccccc", "plain memory": "#cccccc", "native": "#1f5fa8",
    "native memory": "#8db8e2", "http": "#c8641e", "http memory": "#eab88f", "nginx": "#3d8b4a", "nginx dav": "#3d8b4a"}
NGINX = """daemon off; master_process on; worker_processes {workers}; user root; pid {dir}/nginx.pid;
error_log {dir}/error.log; worker_rlimit_nofile 20000; events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_max_body_size 0;
open_file_cache max=20000 inactive=600s; open_file_cache_valid 600s; client_body_temp_path {dir}/temp;
proxy_temp_path {dir}/temp2; fastcgi_temp_path {dir}/temp3; uwsgi_temp_path {dir}/temp4; scgi_temp_path {dir}/temp5;
client_body_buffer_size 128k;
server {{ listen 127.0.0.1:{static} reuseport; root {dir}/files; }}
server {{ listen 127.0.0.1:{dav} reuseport; root {dir}/dav; open_file_cache off; dav_methods PUT DELETE; }} }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def process_tree(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    return [pid, *(deeper for child in children for deeper in process_tree(child))]


def resident_mib(pids):
    return sum(compare.resident_kib(pid)["VmRSS"] for pid in pids) / 1024


class Servers:
    """Cairn and nginx over the same files."""

    def __init__(self, options, loops, directory):
        self.options, self.loops, self.directory = options, loops, directory
        self.cpus = {0} if loops == 1 else None
        self.files, self.lists = {}, {}

    def __enter__(self):
        from cluster import Server

        os.makedirs(os.path.join(self.directory, "dav"))
        with on_cpus(self.cpus):
            self.cairn = Server(os.path.join(self.directory, "data"), "--loops", str(self.loops),
                "--http-connection-max", "1100", "--connection-max", "1100", "--fastdfs-listen", "")
            self.nginx = self.start_nginx()
        for name in sorted({cell.split("-")[1] for cell in self.options.cells}):
            self.make_files(name)
        return self

    def __exit__(self, *_):
        self.cairn.kill()
        self.nginx.terminate()
        self.nginx.wait(30)

    def start_nginx(self):
        self.static, self.dav = free_port(), free_port()
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(NGINX.format(workers=self.loops, dir=self.directory, static=self.static, dav=self.dav))
        nginx = subprocess.Popen([self.options.nginx, "-p", self.directory, "-c", path], stderr=subprocess.DEVNULL)
        for port in (self.static, self.dav):
            for _ in range(200):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.05)
        return nginx

    def make_files(self, name):
        """In a folder that nginx serves, and in Cairn; the lists ask for both in the same order."""
        size, count = SETS[name]
        rng = random.Random(name)
        folder = os.path.join(self.directory, "files", name)
        os.makedirs(folder)
        sizes = []
        for i in range(count):
            one = int(2 ** rng.uniform(10, 16)) if size == "mix" else size
            sizes.append(one)
            with open(os.path.join(folder, f"{i}"), "wb") as file:
                file.write(rng.randbytes(one))
        manifest = os.path.join(self.directory, name + ".manifest")
        subprocess.run([self.options.cairn, "put", "-r", folder, "--ack", "memory", "--manifest", manifest, "--tracker",
            self.cairn.tracker], check=True, capture_output=True)
        ids = {}
        with open(manifest, encoding="ascii") as file:
            for line in file:
                if not line.startswith("#"):
                    words = line.rstrip("\n").split("\t")
                    ids[os.path.basename(words[-1])] = next(word for word in words if "/M" in word)
        order = [f"{i}" for i in range(count)]
        rng.shuffle(order)
        self.files[name] = [(f"/{ids[i]}", f"/{name}/{i}") for i in order]
        self.sizes = {**getattr(self, "sizes", {}), name: statistics.mean(sizes)}

    def list_of(self, lines):
        path = os.path.join(self.directory, "list")
        with open(path, "w", encoding="ascii") as file:
            file.write("".join(line + "\n" for line in lines))
        return path

    def pids(self, who):
        return [self.cairn.process.pid] if who.startswith(("native", "http")) else process_tree(self.nginx.pid)


class Runs:
    """One contestant for one cell: returns {rate, p99, cpu_us, calls, rss}."""

    def __init__(self, options, servers, cell):
        self.options, self.servers, self.cell = options, servers, cell
        self.operation, self.set, connections = cell.split("-")
        self.connections = int(connections)
        self.number = 0  # names that are stored are new each time

    def contestants(self):
        if self.operation == "find":
            return ["plain", "plain sendfile", "native", "http", "nginx"]
        if self.operation == "cold":
            return ["http", "nginx"]
        if self.operation == "upload":
            return ["plain", "plain memory", "native", "native memory", "http", "http memory", "nginx dav"]
        return ["http", "nginx dav"] if self.operation == "delete" else ["http"]

    def run(self, who):
        if who.startswith("plain"):
            return self.plain(who)
        if who.startswith("native"):
            return self.native(who)
        lines, once = self.requests(who)
        if self.operation == "cold":
            forget_pages(os.path.join(self.servers.directory, "data"))
            forget_pages(os.path.join(self.servers.directory, "files"))
        return self.http(who, self.servers.list_of(lines), once)

    def plain(self, who):
        """Their sizes are multiples of 4 KiB; a mix has no plain loop of its own."""
        work = {"find": {"plain": "get", "plain sendfile": "sendfile"},
            "upload": {"plain": "put-durable", "plain memory": "put-memory"}}[self.operation][who]
        if self.set == "mix" or self.connections < self.servers.loops:
            return None
        output = subprocess.run([self.options.limits, "--work", work, "--sizes", self.set, "--clients",
            str(self.connections), "--threads", str(self.servers.loops), "--seconds", self.seconds(), "--dir",
            self.options.dir, "--data", "256M", "--keep", "--json"], check=True, capture_output=True, text=True).stdout
        found = json.loads(output)
        count = max(found["operations"], 1)
        return {"rate": found["operations_per_second"], "p99": found["p99_ns"], "calls": None, "rss": None,
            "cpu_us": found["server_cpu_ns"] / count / 1000}

    def native(self, who):
        if self.set == "mix":
            return None
        ack = "memory" if self.operation == "find" or who.endswith("memory") else "local"
        with on_cpus({1} if self.servers.loops == 1 else None):
            output = subprocess.run([self.options.cairn, "bench", "--sizes", self.set, "--clients",
                str(self.connections), "--ack", ack, "--seconds", self.seconds(), "--json", "--tracker",
                self.servers.cairn.tracker, *([] if self.operation == "find" else ["--puts-only"])], check=True,
                capture_output=True, text=True).stdout
        wanted = "get" if self.operation == "find" else "put"
        found = next(cell for cell in map(json.loads, output.splitlines()) if cell["operation"] == wanted)
        cpu = compare.cpu_per_op(found) / 1000
        return {"rate": found["operations_per_second"], "p99": found["p99_ns"], "cpu_us": cpu, "calls": None,
            "rss": resident_mib(self.servers.pids(who))}

    def requests(self, who):
        """(lines for http_load, whether each is asked once)"""
        files = [pair[0 if who.startswith("http") else 1] for pair in self.servers.files[self.set]]
        if self.operation in ("find", "cold"):
            return [f"GET\t{path}\t0" for path in files], self.operation == "cold"
        size = SETS[self.set][0]
        if self.operation == "modify":
            return [f"PATCH\t{path}\t{size}\tContent-Range: bytes 0-{size - 1}/*" for path in files], False
        if self.operation == "delete":
            return self.stored_for_delete(who), True
        if who.startswith("http"):
            return [f"POST\t/default?ack={'memory' if who.endswith('memory') else 'local'}\t{size}"], False
        self.number += 1
        names = 300000 if size <= 65536 else 5000
        return [f"PUT\t/{self.number}-{i}\t{size}" for i in range(names)], True

    def stored_for_delete(self, who):
        """New files each round; storing them is not measured."""
        self.number += 1
        folder = os.path.join(self.servers.directory, f"delete{self.number}")
        count = SETS[self.set][1]
        os.makedirs(folder)
        for i in range(count):
            with open(os.path.join(folder, str(i)), "wb") as file:
                file.write(os.urandom(SETS[self.set][0]))
        if not who.startswith("http"):
            os.rename(folder, os.path.join(self.servers.directory, "dav", f"delete{self.number}"))
            return [f"DELETE\t/delete{self.number}/{i}\t0" for i in range(count)]
        output = subprocess.run([self.options.cairn, "put", "-r", folder, "--tracker", self.servers.cairn.tracker],
            check=True, capture_output=True, text=True).stdout
        shutil.rmtree(folder)
        return [f"DELETE\t/{line.split()[0]}\t0" for line in output.splitlines()]

    def seconds(self):
        return f"{int(self.options.seconds * 1000)}ms"

    def port(self, who):
        if who.startswith("http"):
            return self.servers.cairn.ready["http"].rsplit(":", 1)[1]
        return str(self.servers.dav if who.endswith("dav") else self.servers.static)

    def load(self, who, path, once, cpu, share):
        command = [self.options.http_load, "--list", path, "--port", self.port(who), "--connections",
            str(max(1, self.connections // share)), "--seconds", self.seconds(), "--cpu", str(cpu)]
        return subprocess.Popen(command + (["--once"] if once else []), stdout=subprocess.PIPE, text=True)

    def http(self, who, path, once):
        pids = self.servers.pids(who)
        cpus = [1] if self.servers.loops == 1 or once or self.connections == 1 else [0, 1]
        before = sum(map(process_seconds, pids))
        watch = self.watch_calls(pids)
        loads = [self.load(who, path, once, cpu, len(cpus)) for cpu in cpus]
        outputs = [load.communicate()[0] for load in loads]
        if any(load.returncode for load in loads):
            raise SystemExit(f"doors: {who}, {self.cell}: http_load has failed")
        found = [json.loads(output) for output in outputs]
        calls = self.count_calls(watch)
        cpu = sum(map(process_seconds, pids)) - before
        count = max(1, sum(one["operations"] for one in found))
        # the load warms up for 0.1 s, uncounted: its share of CPU and calls is taken off
        share = 1 if once else self.options.seconds / (self.options.seconds + 0.1)
        if any(one["bad"] for one in found):
            raise SystemExit(f"doors: {who}, {self.cell}: {sum(one['bad'] for one in found)} bad answers")
        return {"rate": sum(one["operations_per_second"] for one in found), "p99": max(one["p99_ns"] for one in found),
            "cpu_us": cpu * share * 1e6 / count, "calls": None if calls is None else calls * share / count,
            "rss": resident_mib(pids)}

    def watch_calls(self, pids):
        """perf counts in the kernel: next to no slowing down."""
        if not self.options.perf:
            return None
        return subprocess.Popen([self.options.perf, "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p",
            ",".join(map(str, pids))], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def count_calls(self, watch):
        if watch is None:
            return None
        watch.send_signal(signal.SIGINT)
        text = watch.communicate()[1]
        for line in text.splitlines():
            if "sys_enter" in line and line.split(",")[0].isdigit():
                return int(line.split(",")[0])
        return None


# ---- results ----


def median(results, key):
    values = [result[key] for result in results if result[key] is not None]
    return statistics.median(values) if values else None


def measure(options, servers, cell):
    runs = Runs(options, servers, cell)
    found = {who: [] for who in runs.contestants()}
    order = list(found)
    for _ in range(options.rounds):
        for who in order:
            if time.monotonic() > options.deadline:
                raise SystemExit("doors: --minutes are over")
            result = runs.run(who)
            if result:
                found[who].append(result)
        order = order[1:] + order[:1]
    return {who: {key: median(results, key) for key in ("rate", "p99", "cpu_us", "calls", "rss")}
        for who, results in found.items() if results}


def rows_of(cell, loops, found):
    operation, name, connections = cell.split("-")
    size = SETS[name][0]
    base = found.get("plain") or next(iter(found.values()))
    for who, result in found.items():
        ratio = result["rate"] / base["rate"] if base["rate"] else math.nan
        yield "| " + " | ".join([operation, "1-64 KiB" if size == "mix" else show_size(size), connections, str(loops), who,
            show_rate(result["rate"]), f"{ratio:.2f}", show_us(result["cpu_us"] * 1000),
            "" if result["calls"] is None else f"{result['calls']:.2f}", show_us(result["p99"]),
            "" if result["rss"] is None else f"{result['rss']:.0f}"]) + " |"


HEAD = ("| operation | size | connections | loops | who | op/s | to the first | server CPU us/op | calls/op | p99 us |"
    " MiB |\n|---|---|---|---|---|---|---|---|---|---|---|")


def plot(measured, path):
    """Bars: rate as a share of the fastest contestant of its cell."""
    bar, gap, left, width = 9, 8, 150, 460
    parts, y = [], 40
    names = [who for who in COLOURS if any(who in found for _, _, found in measured)]
    for i, who in enumerate(names):
        parts.append(f'<rect x="{left + 110 * (i % 5)}" y="{6 + 14 * (i // 5)}" width="9" height="9" fill="{COLOURS[who]}"/>'
            f'<text x="{left + 110 * (i % 5) + 13}" y="{14 + 14 * (i // 5)}">{who}</text>')
    for cell, loops, found in measured:
        top = max(result["rate"] for result in found.values()) or 1
        parts.append(f'<text x="{left - 6}" y="{y + bar * len(found) / 2 + 4}" text-anchor="end">{cell}, {loops}</text>')
        for who, result in found.items():
            length = width * result["rate"] / top
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.0f}" height="{bar - 1}" fill="{COLOURS[who]}"/>'
                f'<text x="{left + length + 4:.0f}" y="{y + bar - 1}">{show_rate(result["rate"])}</text>')
            y += bar
        y += gap
    with open(path, "w", encoding="ascii") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{y}" font-family="sans-serif"'
            f' font-size="10"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(compare.ROOT, "build", "release"))
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where servers keep their data")
    parser.add_argument("--loops", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--cells", default=",".join(CELLS), help="OPERATION-SIZE-CONNECTIONS")
    parser.add_argument("--minutes", type=float, default=60, help="then it ends")
    parser.add_argument("--plot", help="write an SVG there")
    parser.add_argument("--results", help="write the medians there, as JSON")
    options = parser.parse_args()
    options.cells = options.cells.split(",")
    options.cairn, options.limits, options.http_load = (
        os.path.join(options.build, name) for name in ("cairn", "limits", "http_load"))
    options.nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    options.perf = shutil.which("perf")
    options.deadline = time.monotonic() + options.minutes * 60
    if not options.nginx:
        raise SystemExit("doors: nginx is not installed")
    os.environ["CAIRN"] = options.cairn
    return options


def measure_all(options, loops, measured):
    with tempfile.TemporaryDirectory(prefix="cairn-doors-", dir=options.dir) as directory:
        with Servers(options, loops, directory) as servers:
            for cell in options.cells:
                found = measure(options, servers, cell)
                measured.append((cell, loops, found))
                print("\n".join(rows_of(cell, loops, found)), flush=True)


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("doors: terminated"))
    measured = []
    print(HEAD, flush=True)
    begin, busy = time.monotonic(), compare.busy_seconds()
    try:
        for loops in map(int, options.loops.split(",")):
            measure_all(options, loops, measured)
    finally:  # also what there is when the time is over
        share = (compare.busy_seconds() - busy) / (time.monotonic() - begin) / os.cpu_count()
        print(f"\nMedians of {options.rounds} rounds of {options.seconds} s; the CPUs were {100 * share:.0f} % busy, all"
            " processes of the machine together.")
        if options.plot:
            plot(measured, options.plot)
        if options.results:
            with open(options.results, "w", encoding="utf-8") as file:
                json.dump(measured, file, indent=1)


if __name__ == "__main__":
    main()
