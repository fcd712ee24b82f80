#!/usr/bin/env python3
"""Cairn beside the plain loops that the machine can do, in the same run; prints Markdown.

usage: compare.py [--build DIR] [--dir DIR] [--sizes LIST] [--clients LIST] [--seconds S] [--pairs N]
                  [--parts speed,limits,memory,cold] [--results FILE] [--minutes M]

Each cell is measured in pairs, Cairn and `limits` in turn; the table shows medians. The server runs
on one CPU and the clients on the other (--cpus SERVER,CLIENT; --cpus all leaves them free). What
other processes took of the CPUs in the meantime is measured too: a pair that was disturbed is
repeated, and the table says how much was left. Ends by itself; removes what it made.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

CELL_SECONDS = 120  # one command may take
FOREIGN_MAX = 0.10  # of all CPUs, taken by others
DISTURBED_RETRIES = 2
ROUND_MAX = 512 << 20  # bytes that all clients together have under way
SMALL_SIZE = 1024
TICKS = os.sysconf("SC_CLK_TCK")


def parse_size(text):
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match:
        raise SystemExit(f"compare: not a size: {text}")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def show_size(size):
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def show_rate(rate):
    return f"{rate / 1000:.1f} k" if rate >= 10000 else f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def show_us(ns):
    us = ns / 1000
    return f"{us / 1000:.1f} ms" if us >= 10000 else f"{us:.0f}" if us >= 10 else f"{us:.1f}"


# ---- the machine ----


def busy_seconds():
    """CPU time of everything on this machine, without idle and waiting."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS


def process_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children_seconds():
    times = os.times()
    return times.children_user + times.children_system


class Watch:
    """How much of the CPUs others took: busy time that is neither the children's nor the server's."""

    def __init__(self, server_pid=None):
        self.pid = server_pid
        self.begin = self.read()

    def read(self):
        own = children_seconds() + sum(os.times()[:2])
        if self.pid:
            own += process_seconds(self.pid)
        return time.monotonic(), busy_seconds() - own

    def foreign_share(self):
        then, other = self.begin
        now, other_now = self.read()
        return max(0.0, (other_now - other) / max(now - then, 0.001) / os.cpu_count())


@contextlib.contextmanager
def on_cpus(cpus):
    """What is started inside inherits it."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- the two programs ----


class Bench:
    def __init__(self, options):
        self.options = options
        self.deadline = time.monotonic() + options.minutes * 60
        self.cells = []  # every measurement, for --results
        self.server = None

    def check_time(self):
        if time.monotonic() > self.deadline:
            raise SystemExit("compare: --minutes are over")

    def run(self, command, cpus=None):
        self.check_time()
        with on_cpus(cpus):
            result = subprocess.run(command, capture_output=True, text=True, timeout=CELL_SECONDS)
        if result.returncode != 0:
            raise SystemExit(f"compare: {' '.join(command)}: exit {result.returncode}\n{result.stderr}")
        return result.stdout

    def lines(self, command, cpus=None):
        return [json.loads(line) for line in self.run(command, cpus).splitlines()]

    def limits(self, work, sizes, clients):
        return self.lines([
            self.options.limits, "--work", work, "--sizes", sizes, "--clients", clients,
            "--threads", str(self.options.threads), "--seconds", f"{self.options.milliseconds}ms",
            "--dir", self.options.dir, "--data", self.options.data, "--keep", "--json",
        ])

    def cairn(self, *words, cpus=None):
        return self.lines([self.options.cairn, *words, "--tracker", self.server.tracker, "--json"], cpus)

    def bench(self, size, clients):
        return self.cairn("bench", "--sizes", size, "--clients", clients, "--ack",
            "local,memory", "--seconds", f"{self.options.milliseconds}ms", cpus=self.options.client_cpus)

    def clients_of(self, size):
        """Few enough for some rounds of all of them in a second or two."""
        return [clients for clients in self.options.clients.split(",")
            if int(clients) * parse_size(size) <= ROUND_MAX]

    def undisturbed(self, run):
        """Repeat while others take too much of the CPUs; the calmest counts."""
        best = None
        for _ in range(1 + DISTURBED_RETRIES):
            watch = Watch(self.server.process.pid if self.server else None)
            cells = run()
            foreign = watch.foreign_share()
            if best is None or foreign < best[0]:
                best = (foreign, cells)
            if foreign <= FOREIGN_MAX:
                break
        for cell in best[1]:
            cell["foreign"] = best[0]
        self.cells += best[1]
        return best[1]

    @contextlib.contextmanager
    def up(self):
        from cluster import Server  # reads CAIRN from the environment

        directory = tempfile.mkdtemp(prefix="cairn-compare-", dir=self.options.dir)
        try:
            with on_cpus(self.options.server_cpus):
                self.server = Server(os.path.join(directory, "data"))
            yield directory
        finally:
            if self.server:
                self.server.kill()
                self.server = None
            shutil.rmtree(directory, ignore_errors=True)


# ---- speed ----

PLAIN_OF = {("get", "local"): "get", ("put", "local"): "put-durable", ("put", "memory"): "put-memory"}
NAMES = {"get": "find", "put-durable": "upload, durable", "put-memory": "upload, memory",
    "sendfile": "find by sendfile, unchecked", "put-direct": "upload, durable, O_DIRECT"}


def cpu_per_op(cell):
    return cell["server_cpu_ns"] / cell["operations"] if cell["operations"] and "server_cpu_ns" in cell else 0


def median_of(cells, key):
    return statistics.median(key(cell) for cell in cells)


def measure_pairs(bench, size, clients):
    """{plain name: ([Cairn's cells], [plain cells])}"""
    found = {name: ([], []) for name in PLAIN_OF.values()}
    works = ",".join(found)
    for pair in range(bench.options.pairs):
        sides = [lambda: bench.bench(size, clients), lambda: bench.limits(works, size, clients)]
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        for side in order:
            for cell in bench.undisturbed(sides[side]):
                cell["side"] = ("cairn", "plain")[side]
                name = PLAIN_OF.get((cell["operation"], cell["ack"])) if side == 0 else cell["operation"]
                if name and cell["operations"]:
                    found[name][side].append(cell)
    return found


def speed_row(name, size, clients, cairn, plain):
    rate = [median_of(side, lambda cell: cell["operations_per_second"]) for side in (cairn, plain)]
    cpu = [median_of(side, cpu_per_op) for side in (cairn, plain)]
    p50, p99 = ([median_of(side, lambda cell, k=key: cell[k]) for side in (cairn, plain)]
        for key in ("p50_ns", "p99_ns"))
    columns = [NAMES[name], show_size(size), clients,
        show_rate(rate[0]), show_rate(rate[1]), f"{rate[0] / rate[1]:.2f}",
        f"{show_us(p50[0])} / {show_us(p99[0])}", f"{show_us(p50[1])} / {show_us(p99[1])}",
        show_us(cpu[0]), show_us(cpu[1]), f"{cpu[0] / cpu[1]:.1f}" if cpu[1] else "?"]
    return "| " + " | ".join(columns) + " |"


def print_speed(bench):
    rows = {name: [] for name in PLAIN_OF.values()}
    with bench.up():
        for size in bench.options.sizes.split(","):
            for clients in bench.clients_of(size):
                for name, (cairn, plain) in measure_pairs(bench, size, clients).items():
                    if cairn and plain:
                        rows[name].append(speed_row(name, parse_size(size), clients, cairn, plain))
                        print(rows[name][-1], file=sys.stderr, flush=True)
    print("| operation | size | clients | Cairn op/s | plain op/s | ratio | Cairn p50 / p99 us |"
        " plain p50 / p99 us | Cairn CPU us/op | plain CPU us/op | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in rows:
        print("\n".join(rows[name]))
    foreign = [cell["foreign"] for cell in bench.cells]
    print(f"\nOther processes took {100 * statistics.median(foreign):.0f} % of the CPUs (median;"
        f" at most {100 * max(foreign):.0f} %). {bench.options.pairs} pairs of"
        f" {bench.options.milliseconds} ms.\n")


def print_limits(bench):
    """The plain loops alone."""
    works = "get,sendfile,put-durable,put-direct,put-memory"
    cells = {}
    for _ in range(bench.options.pairs):
        for size in bench.options.sizes.split(","):
            for cell in bench.undisturbed(lambda: bench.limits(works, size, ",".join(bench.clients_of(size)))):
                cells.setdefault((cell["operation"], cell["size"], cell["clients"]), []).append(cell)
        for cell in bench.undisturbed(lambda: bench.limits(
                "read,cold-read,append-sync,append-direct,append-direct-32", "4K", "1")):
            cells.setdefault((cell["operation"], cell["size"], cell["clients"]), []).append(cell)
    print("| loop | size | connections | op/s | MiB/s | server CPU us/op | p50 / p99 us |\n"
        "|---|---|---|---|---|---|---|")
    for (name, size, clients), same in sorted(cells.items(), key=lambda item: list(item[0])):
        rate = median_of(same, lambda cell: cell["operations_per_second"])
        if rate:
            print(f"| {NAMES.get(name, name)} | {show_size(size)} | {clients} | {show_rate(rate)} |"
                f" {rate * size / (1 << 20):.0f} | {show_us(median_of(same, cpu_per_op))} |"
                f" {show_us(median_of(same, lambda cell: cell['p50_ns']))} /"
                f" {show_us(median_of(same, lambda cell: cell['p99_ns']))} |")
    print()


# ---- memory, and reads per cold find ----


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon")}


def make_small_files(directory, count):
    os.makedirs(directory)
    for i in range(count):
        with open(os.path.join(directory, f"{i:06}"), "wb") as file:
            file.write(random.Random(i).randbytes(SMALL_SIZE))


def upload_small_files(bench, directory, rounds):
    """Lines of their manifests. Each round stores the same files once more: new files with new ids."""
    lines = []
    for _ in range(rounds):
        manifest = os.path.join(directory, f"manifest.{len(os.listdir(directory))}")
        bench.cairn("put", "-r", os.path.join(directory, "small"), "--ack", "memory",
            "--manifest", manifest)
        with open(manifest, encoding="ascii") as file:
            lines += [line for line in file if not line.startswith("#")]
    return lines


def write_manifest(path, lines):
    """Each file under a name of its own."""
    with open(path, "w", encoding="ascii") as file:
        file.write("# cairn manifest 1\n")
        for i, line in enumerate(lines):
            file.write("\t".join(line.split("\t")[:4]) + f"\t{i}\n")


def print_memory(bench):
    step, most = 10000, bench.options.files
    print("| small files stored | VmRSS of the server | of that anonymous |\n|---|---|---|")
    with bench.up() as directory:
        make_small_files(os.path.join(directory, "small"), min(step, most))
        count = 0
        for goal in sorted({0, min(step, most), most}):
            count += len(upload_small_files(bench, directory, (goal - count) // step))
            memory = resident_kib(bench.server.process.pid)
            print(f"| {count} | {memory['VmRSS'] / 1024:.1f} MiB | {memory['RssAnon'] / 1024:.1f} MiB |",
                flush=True)
    print()


def forget_pages(directory):
    """Write back and drop what the page cache has of the server's files."""
    os.sync()
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def disk_reads(directory):
    """Reads that the disk has completed."""
    device = os.stat(directory).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="ascii") as file:
        return int(file.read().split()[0])


def process_read_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return int(re.search(r"^read_bytes: (\d+)", file.read(), re.MULTILINE)[1])


def print_cold(bench):
    """Finds of scattered files, none of them in the page cache."""
    wanted, stored = 200, min(bench.options.files, 50000)
    with bench.up() as directory:
        make_small_files(os.path.join(directory, "small"), min(10000, stored))
        lines = upload_small_files(bench, directory, max(1, stored // 10000))
        manifest = os.path.join(directory, "wanted")
        found = []
        for round_number in range(bench.options.pairs):
            chosen = random.Random(round_number).sample(lines, min(wanted, len(lines)))
            write_manifest(manifest, chosen)
            forget_pages(os.path.join(directory, "data"))
            pid = bench.server.process.pid
            reads, size = disk_reads(directory), process_read_bytes(pid)
            with tempfile.TemporaryDirectory(dir="/dev/shm") as out:
                bench.run([bench.options.cairn, "get", "-r", manifest, "-o", out, "--tracker",
                    bench.server.tracker])
            found.append(((disk_reads(directory) - reads) / len(chosen),
                (process_read_bytes(pid) - size) / len(chosen)))
        print(f"{wanted} cold finds of {SMALL_SIZE}-byte files out of {len(lines)}:"
            f" {min(reads for reads, _ in found):.2f} disk reads and"
            f" {statistics.median(size for _, size in found):.0f} bytes read per find"
            f" (the least of {len(found)} rounds; reads of other processes count too).\n")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where servers keep their data")
    parser.add_argument("--sizes", default="4K,64K,1M,16M")
    parser.add_argument("--clients", default="1,8,32,128")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cpus", default="0,1", help="SERVER,CLIENT or all")
    parser.add_argument("--data", default="256M", help="of the file that the plain loops read")
    parser.add_argument("--files", type=int, default=100000, help="small files for memory and cold")
    parser.add_argument("--parts", default="speed,memory,cold", help="also: limits, the plain loops alone")
    parser.add_argument("--nice", type=int, default=0, help="of everything that it starts")
    parser.add_argument("--results", help="write every measurement there, as JSON")
    parser.add_argument("--minutes", type=float, default=30, help="then it ends")
    options = parser.parse_args()
    os.nice(options.nice)
    options.milliseconds = int(options.seconds * 1000)
    options.limits = os.path.join(options.build, "limits")
    places = [os.path.join(options.build, *path) for path in (["cairn"], ["src", "bin", "cairn"])]
    options.cairn = next((path for path in places if os.path.exists(path)), places[0])
    os.environ["CAIRN"] = options.cairn
    options.server_cpus = options.client_cpus = None
    options.threads = os.cpu_count()
    if options.cpus != "all":
        server, client = options.cpus.split(",")
        options.server_cpus, options.client_cpus, options.threads = {int(server)}, {int(client)}, 1
    return options


PARTS = {"speed": print_speed, "limits": print_limits, "memory": print_memory, "cold": print_cold}


def main():
    options = parse_options()
    bench = Bench(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare: terminated"))
    data = os.path.join(options.dir, "limits.data")
    had_data = os.path.exists(data)
    try:
        for part in options.parts.split(","):
            PARTS[part](bench)
    finally:
        if not had_data and os.path.exists(data):
            os.unlink(data)
        if options.results:
            with open(options.results, "w", encoding="utf-8") as file:
                json.dump(bench.cells, file, indent=1)


if __name__ == "__main__":
    main()
