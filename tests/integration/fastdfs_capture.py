"""Listens to what a FastDFS client and a server say to each other, and compares every frame with the fact sheet of the
protocol (sections 1 to 4). Standard library only."""

import re
import socket
import struct
import threading

HEADER = struct.Struct(">qBB")
NAME = re.compile(rb"M[0-9A-F]{2}/[0-9A-F]{2}/[0-9A-F]{2}/[A-Za-z0-9_-]{27,43}[A-Za-z0-9._-]{1,33}\Z")
WORD = re.compile(rb"[A-Za-z0-9._-]*\0*\Z")
GROUP = re.compile(rb"[A-Za-z0-9]{1,16}\0*\Z")


class Proxy:
    """Passes bytes between clients and `target`, and keeps them. `renumber`: (port, port instead) in what the server
    answers, so that a client goes on to another proxy."""

    def __init__(self, target, renumber=None):
        host, port = target.rsplit(":", 1)
        self.target, self.renumber = (host, int(port)), renumber
        self.talks = []  # [what the client sent, what the server sent]
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()
        for each in self.sockets:
            each.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            self.sockets += [client, server]
            talk = [bytearray(), bytearray()]
            self.talks.append(talk)
            threading.Thread(target=self.carry, args=(client, server, talk[0], None), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, talk[1], self.renumber), daemon=True).start()

    @staticmethod
    def carry(source, sink, kept, renumber):
        try:
            while data := source.recv(1 << 16):
                kept += data
                if renumber:
                    data = data.replace(struct.pack(">q", renumber[0]), struct.pack(">q", renumber[1]))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Body:
    """Reads the fields of a body; `end` wants that nothing is left."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at, f"{size} bytes of {len(self.data) - self.at}"
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self):
        (value,) = struct.unpack(">q", self.take(8))
        assert value >= 0
        return value

    def rest(self):
        return self.take(len(self.data) - self.at)

    def matching(self, pattern, size):
        field = self.take(size)
        assert pattern.match(field), field
        return field

    def group(self):
        return self.matching(GROUP, 16)

    def name(self, size=None):
        return self.matching(NAME, len(self.data) - self.at if size is None else size)

    def end(self):
        assert self.at == len(self.data), f"{len(self.data) - self.at} bytes too many"


def upload(body):
    body.take(1)
    size = body.number()
    body.matching(WORD, 6)
    body.take(size)


def slave(body):
    name, size = body.number(), body.number()
    assert body.matching(WORD, 16).strip(b"\0")
    body.matching(WORD, 6)
    body.name(name)
    body.take(size)


def append(body):
    name, size = body.number(), body.number()
    body.name(name)
    body.take(size)


def modify(body):
    name, _, size = body.number(), body.number(), body.number()
    body.name(name)
    body.take(size)


def truncate(body):
    name, _ = body.number(), body.number()
    body.name(name)


def set_metadata(body):
    name, size = body.number(), body.number()
    assert body.take(1) in b"OM"
    body.group()
    body.name(name)
    metadata(Body(body.take(size)))


def of_file(body):
    body.group()
    body.name()


def download(body):
    body.number(), body.number()
    of_file(body)


def metadata(body):
    raw = body.rest()
    for record in raw.split(b"\1") if raw else ():
        name, value = record.split(b"\2")
        assert 0 < len(name) <= 64 and len(value) <= 256


def stored(body):
    body.group()
    body.name()


def located(tail):
    """Group, then addresses with ports (IPv4 or IPv6 size), then `tail` bytes."""
    def check(body):
        body.group()
        left = len(body.data) - body.at - tail
        size = next(size for size in (15, 45) if left > 0 and left % (size + 8) == 0)
        for _ in range(left // (size + 8)):
            socket.getaddrinfo(body.take(size).split(b"\0")[0].decode(), None, flags=socket.AI_NUMERICHOST)
            assert 0 < body.number() < 65536
        body.take(tail)
    return check


def info(body):
    size, _, crc = struct.unpack(">qqq", body.take(24))
    assert size >= 0 and -2 ** 31 <= crc < 2 ** 31
    assert len(body.data) - body.at in (16, 46)
    body.rest()


def records(*sizes):
    def check(body):
        assert any(len(body.data) % size == 0 for size in sizes)
        body.rest()
    return check


def nothing(body):
    body.end()


def anything(body):
    body.rest()


def one_group(body):
    body.group()


def group_and_more(body):
    body.group()
    body.rest()


# command: its request, its answer
SHEET = {
    11: (upload, stored), 12: (of_file, nothing), 13: (set_metadata, nothing), 14: (download, anything),
    15: (of_file, metadata), 21: (slave, stored), 22: (of_file, info), 23: (upload, stored), 24: (append, nothing),
    34: (modify, nothing), 36: (truncate, nothing), 38: (lambda body: body.name(), stored),
    90: (one_group, records(113)), 91: (nothing, records(113)), 92: (group_and_more, records(487, 517)),
    101: (nothing, located(1)), 104: (one_group, located(1)), 106: (nothing, located(1)), 107: (one_group, located(1)),
    102: (of_file, located(0)), 103: (of_file, located(0)), 105: (of_file, located(0)), 111: (nothing, nothing),
}


def frames(stream):
    """(command, status, body), and what is left of a frame that was cut."""
    found, at = [], 0
    while len(stream) - at >= HEADER.size:
        length, command, status = HEADER.unpack_from(stream, at)
        assert length >= 0
        if len(stream) - at - HEADER.size < length:
            break
        found.append((command, status, stream[at + HEADER.size:at + HEADER.size + length]))
        at += HEADER.size + length
    return found, stream[at:]


def check(talk):
    """Every frame of a connection; returns the commands that were answered with their statuses."""
    requests, rest = frames(talk[0])
    assert not rest, f"the client left {len(rest)} bytes of a request"
    answers, rest = frames(talk[1])
    assert not rest, f"the server left {len(rest)} bytes of an answer"
    seen = []
    for command, status, body in requests:
        if command == 82:  # quit: no answer
            break
        fields = Body(body)
        SHEET[command][0](fields)
        fields.end()
        assert status == 0 or command == 22, f"command {command} has flags {status}"
        answer, status, body = answers[len(seen)]
        assert answer == 100, f"an answer has command {answer}"
        fields = Body(body)
        if status == 0:
            SHEET[command][1](fields)
        fields.end()
        seen.append((command, status))
    assert len(seen) == len(answers), "an answer that nobody asked for"
    return seen
