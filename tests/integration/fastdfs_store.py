"""Makes the data directories of a FastDFS storage, from the fact sheet of its formats alone: flat files, trunk files,
appenders, slaves, metadata, several store paths. Standard library only."""

import base64
import os
import random
import socket
import struct
import zlib

TRUNK_FILE_SIZE = 256 * 1024
HEADER = 24


def base64_of(raw):
    return base64.b64encode(raw, b"-_").decode().rstrip("=")


def suffix_part(random_digits, ext):
    digits = "".join(str(random_digits.randrange(10)) for _ in range(7))
    return digits[:6 - len(ext)] + "." + ext if ext else digits


class Store:
    """`files`: id -> content of what is there; `metadata`: id -> dict."""

    def __init__(self, root, group, paths=2, source="192.168.1.112", seed=1):
        self.group = group
        self.random = random.Random(seed)
        self.source = socket.inet_aton(source) if isinstance(source, str) else struct.pack("<I", source)
        self.roots = [os.path.join(root, f"path{index}") for index in range(paths)]
        self.files, self.metadata, self.on_disk = {}, {}, {}
        self.trunk = None
        self.time = 1_500_000_000
        for path in self.roots:
            os.makedirs(os.path.join(path, "data", "sync"))
            for name in ("fdfs_storaged.pid", "storage_stat.dat", ".data_init_flag", "sync/binlog.000"):
                with open(os.path.join(path, "data", name), "w") as file:
                    file.write("of FastDFS itself\n")

    def core(self, size, crc, marks=0):
        self.time += self.random.randrange(100)
        word = size
        if size < 1 << 32:
            word = 1 << 63 | marks | self.random.getrandbits(23) << 32 | (0 if marks >> 58 & 1 else size)
        return base64_of(self.source + struct.pack(">IQI", self.time, word, crc))

    def place(self):
        return self.random.randrange(len(self.roots)), f"{self.random.randrange(4):02X}/{self.random.randrange(256):02X}"

    def path_of(self, index, rest):
        return os.path.join(self.roots[index], "data", rest)

    def write(self, index, rest, content):
        path = self.path_of(index, rest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def add(self, index, rest, content):
        file_id = f"{self.group}/M{index:02X}/{rest}"
        self.on_disk[file_id] = self.write(index, rest, content)
        self.files[file_id] = content
        return file_id

    def flat(self, content, ext=""):
        index, place = self.place()
        name = self.core(len(content), zlib.crc32(content)) + suffix_part(self.random, ext)
        return self.add(index, f"{place}/{name}", content)

    def appender(self, content, more=b"", ext="log"):
        """The CRC in the id is that of what it began with."""
        index, place = self.place()
        name = self.core(len(content), zlib.crc32(content), 1 << 58) + suffix_part(self.random, ext)
        return self.add(index, f"{place}/{name}", content + more)

    def slave(self, master, prefix, content, ext=""):
        _, path, high, low, name = master.split("/")
        stem = name.split(".")[0]
        return self.add(int(path[1:], 16), f"{high}/{low}/{stem}{prefix}" + (f".{ext}" if ext else ""), content)

    def set_metadata(self, file_id, pairs):
        _, path, rest = file_id.split("/", 2)
        raw = b"\1".join(name.encode() + b"\2" + pairs[name].encode() for name in sorted(pairs))
        self.metadata[file_id] = pairs
        return self.write(int(path[1:], 16), rest + "-m", raw)

    # ---- trunk files ----

    def new_trunk(self):
        index, place = self.place()
        number = self.trunk["number"] + 1 if self.trunk else 1
        path = self.write(index, f"{place}/{number:06d}", bytes(TRUNK_FILE_SIZE))
        self.trunk = {"index": index, "place": place, "number": number, "path": path, "at": 0}

    def small(self, content, ext="", slack=0):
        """A file in a trunk file; its slot is rounded up to 256 bytes, and `slack` more."""
        allocated = -(-(HEADER + len(content) + slack) // 256) * 256
        if not self.trunk or self.trunk["at"] + allocated > TRUNK_FILE_SIZE:
            self.new_trunk()
        trunk, crc = self.trunk, zlib.crc32(content)
        core = self.core(len(content), crc, 1 << 59)
        suffix = suffix_part(self.random, ext)
        header = b"F" + struct.pack(">IIII", allocated, len(content), crc, self.time) + suffix.encode()
        assert len(header) == HEADER
        with open(trunk["path"], "r+b") as file:
            file.seek(trunk["at"])
            file.write(header + content)
        place = base64_of(struct.pack(">III", trunk["number"], trunk["at"], allocated))
        file_id = f"{self.group}/M{trunk['index']:02X}/{trunk['place']}/{core}{place}{suffix}"
        self.files[file_id] = content
        self.on_disk[file_id] = (trunk["path"], trunk["at"])
        trunk["at"] += allocated
        return file_id

    def forget(self, file_id):
        """FastDFS deletes a file: of one in a trunk file the slot's type becomes 0."""
        place = self.on_disk[file_id]
        if isinstance(place, tuple):
            with open(place[0], "r+b") as file:
                file.seek(place[1])
                file.write(b"\0")
        else:
            os.unlink(place)
        self.files.pop(file_id)
        self.metadata.pop(file_id, None)

    def damage(self, file_id, at=0):
        """One bit of the content turns."""
        place = self.on_disk[file_id]
        path, start = (place[0], place[1] + HEADER) if isinstance(place, tuple) else (place, 0)
        with open(path, "r+b") as file:
            file.seek(start + at)
            byte = file.read(1)[0]
            file.seek(start + at)
            file.write(bytes([byte ^ 1]))
        self.files.pop(file_id)
        self.metadata.pop(file_id, None)

    def fill(self, count=60):
        """Some of everything."""
        sizes = (0, 1, 100, 4096, 20_000, 70_000, 300_000)
        for i in range(count):
            size = sizes[i % len(sizes)]
            data = random.Random(1000 + i).randbytes(size)
            kind = i % 5
            if kind < 2:
                file_id = self.flat(data, ("jpg", "", "tar.gz", "x_y-z1")[i % 4])
                if i % 3 == 0:
                    self.set_metadata(file_id, {"width": str(i), "author": "a" * (i % 40)})
                if i % 2 == 0:
                    self.slave(file_id, "_150x150", data[: size // 2] + b"slave", "png")
            elif kind < 4:
                file_id = self.small(random.Random(i).randbytes(size % 9000), ("txt", "")[i % 2], slack=i % 700)
                if i % 3 == 0:
                    self.set_metadata(file_id, {"small": str(i)})
            else:
                self.appender(data, b"more" * (i % 7))
