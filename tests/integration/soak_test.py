"""The no-growth soak: two mirrors and a tracker under mixed operations, very many of them. After warm-up, descriptors,
mappings, memory and what is held by place stay what they are. Needs CAIRN_LONG=1; CAIRN_SOAK_OPERATIONS says how many (2
million), CAIRN_SOAK_PLOT names a file for the plot (SVG)."""

import json
import os
import shutil
import tempfile
import time
import unittest

import native_client as native
from drill import MIB, memory_directory
from group import Group, enter_namespace

OPERATIONS = int(os.environ.get("CAIRN_SOAK_OPERATIONS", "2000000"))
WARM_UP = 0.3  # of the operations: until then the number of chunk files that are open grows to what they need
CHANGES = 300  # a round: replace, append, truncate, delete
# Chunk files stay open, up to chunk_files of a loop: how many there are to open goes up and down with what is stored.
SLACK = {"fds": 20, "maps": 4, "rss": 16 * MIB, "row": 4, "segment": 16}


class Soak(unittest.TestCase):
    def bench(self, ack):
        code, text, talk = self.group.cairn("bench", "--sizes", "1K,12K", "--clients", "16", "--ack", ack,
            "--count", "20000", "--seconds", "3s", "--json", "--quiet", timeout=120)
        self.assertEqual(code, 0, talk)
        for line in map(json.loads, text.splitlines()):
            # what was uploaded is deleted after each cell, which is not told
            self.operations += line["operations"] * (2 if line["operation"] == "put" else 1)

    def change(self):
        with self.group.storages[self.round % 2].connect() as connection:
            ids = [connection.upload(os.urandom(2000), ack=native.MEMORY)["id"] for _ in range(CHANGES // 4)]
            for file_id in ids:
                connection.modify(file_id, os.urandom(3000), ack=native.MEMORY)
                connection.modify(file_id, b"more", mode=native.APPEND, ack=native.MEMORY)
                connection.stat(file_id)
                connection.delete(file_id)
        self.operations += 5 * len(ids)

    def sample(self):
        code, text, talk = self.group.cairn("res", "--json")
        self.assertEqual(code, 0, talk)
        rows = {}
        for row in map(json.loads, text.splitlines()):
            if row["kind"] in ("fd", "map", "mem", "conn", "slot", "timer", "space"):
                key = (row["node"], row["kind"], row["site"], row["direction"], row["class"])
                rows[key] = rows.get(key, 0) + row["count"]
        nodes = [(s.descriptor_count(), s.mapping_count(), s.resident()) for s in self.group.storages]
        self.samples.append((self.operations, nodes, rows))
        return nodes, rows

    def settle(self):
        """Mirrors are even, and connections of clients have gone."""
        def is_even():
            return all(mirror["lag_records"] == 0 for s in self.group.storages for mirror in s.status()["mirrors"])
        self.group.wait_until(is_even, 120, "mirrors are even")
        return self.sample()

    def compare(self, warm, last):
        apart = {}
        for index, (before, after) in enumerate(zip(warm[0], last[0])):
            for name, a, b in zip(("fds", "maps", "rss"), before, after):
                if b - a > SLACK[name]:
                    apart[f"m{index + 1:03d} {name}"] = (a, b)
        for key in warm[1].keys() | last[1].keys():
            if last[1].get(key, 0) - warm[1].get(key, 0) > SLACK["segment" if key[-1] == "segment" else "row"]:
                apart[key] = (warm[1].get(key, 0), last[1].get(key, 0))
        return apart

    def plot(self, path):
        """Three lines: descriptors, mappings, resident MiB of the first storage, over operations."""
        width, height, most = 760, 240, max(s[0] for s in self.samples)
        lines = []
        for index, (name, colour, unit) in enumerate(
                (("descriptors", "#1f77b4", 1), ("mappings", "#2ca02c", 1), ("resident MiB", "#d62728", MIB))):
            values = [s[1][0][index] / unit for s in self.samples]
            top = max(values) * 1.25
            points = " ".join(f"{60 + s[0] / most * (width - 80):.1f},{height - 30 - v / top * (height - 60):.1f}"
                for s, v in zip(self.samples, values))
            lines.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>'
                f'<text x="{70 + 220 * index}" y="18" fill="{colour}">{name}: {values[0]:.0f} .. {values[-1]:.0f}'
                f' (most {max(values):.0f})</text>')
        with open(path, "w") as file:
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
                f'<path d="M60 30V{height - 30}H{width - 20}" fill="none" stroke="black"/>'
                f'<text x="60" y="{height - 10}">0</text><text x="{width - 150}" y="{height - 10}">{most} operations'
                f'</text>{"".join(lines)}</svg>\n')

    @unittest.skipUnless(os.environ.get("CAIRN_LONG"), "needs minutes: CAIRN_LONG=1")
    def test_nothing_grows(self):
        root = tempfile.mkdtemp(prefix="cairn-soak-", dir=memory_directory())
        self.addCleanup(shutil.rmtree, root, ignore_errors=True)
        self.operations, self.round, self.samples, warm, begin = 0, 0, [], None, time.monotonic()
        with Group(root, 2) as self.group:
            while self.operations < OPERATIONS:
                self.bench("memory" if self.round % 4 else "local")
                self.change()
                self.round += 1
                if warm is None and self.operations >= WARM_UP * OPERATIONS:
                    warm = self.settle()
                    warm_at = self.operations
                else:
                    self.sample()
                print(self.operations, self.samples[-1][1], flush=True)
            last = self.settle()
            code, text, _ = self.group.cairn("doctor")
            print(f"{self.operations} operations, warm at {warm_at}, {time.monotonic() - begin:.0f} s; {warm[0]} -> "
                f"{last[0]}; doctor: {text}")
            if os.environ.get("CAIRN_SOAK_PLOT"):
                self.plot(os.environ["CAIRN_SOAK_PLOT"])
            self.assertEqual(self.compare(warm, last), {})
            self.assertEqual(code, 0, text)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
