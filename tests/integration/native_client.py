"""The native protocol in Python, written from doc/protocol.md alone: a second implementation.

Frames and messages can be made by hand, wrong ones too; Connection speaks them politely."""

import base64
import collections
import hashlib
import hmac
import itertools
import os
import socket
import struct
import zlib

HEADER = struct.Struct("<4sBBHQIII")
MAGIC, FRAME_VERSION, MORE = b"CRN1", 1, 1
META_MAX, DATA_MAX = 4096, 262144
CLIENT, NODE = 1, 2
MEMORY, LOCAL, ONE, ALL = 1, 2, 3, 4
REPLACE, WRITE, APPEND, TRUNCATE = 1, 2, 3, 4
SLACK_IS_BYTES = 1 << 31
UPLOAD_PURPOSE, FIND_PURPOSE, MODIFY_PURPOSE, DELETE_PURPOSE = 1, 2, 3, 4

MESSAGES = {
    1: ("hello", "version_min U16, version_max U16, capabilities U64, role U8, machine U32, challenge KEY32"),
    2: ("welcome", "version U16, capabilities U64, server_role U8, proof_needed U8, machine U32, challenge KEY32, "
        "proof KEY32"),
    3: ("prove", "proof KEY32"),
    4: ("proven", "role U8"),
    5: ("error", "code U32, text TEXT, version VERSION"),
    6: ("data", ""),
    7: ("ping", ""),
    8: ("pong", "role U8, state U8"),
    16: ("upload", "pool TEXT, nonce NONCE, ack U8, is_mutable U8, size_known U8, size U64, slack U32, suffix TEXT, "
        "crc_known U8, crc U32, content_type TEXT, expires U64, metadata TEXT"),
    17: ("uploaded", "id TEXT, version VERSION, size U64, crc U32, ack U8, holder_count U32, machine U32"),
    18: ("find", "id TEXT, offset U64, size U64, if_version VERSION, local_only U8"),
    19: ("found", "version VERSION, total U64, offset U64, size U64, crc U32, create_ns U64, modify_ns U64, "
        "content_type TEXT"),
    20: ("modify", "id TEXT, nonce NONCE, ack U8, mode U8, offset U64, size_known U8, size U64, if_version VERSION, "
        "crc_known U8, crc U32"),
    21: ("modified", "version VERSION, size U64, crc U32, ack U8, holder_count U32"),
    22: ("delete", "id TEXT, nonce NONCE, ack U8, if_version VERSION"),
    23: ("deleted", "existed U8, ack U8, holder_count U32"),
    24: ("stat", "id TEXT"),
    25: ("stated", "version VERSION, size U64, crc U32, create_ns U64, modify_ns U64, is_mutable U8, is_packed U8, "
        "is_forwarded U8, capacity U64, origin U32, expires U64, pool TEXT, content_type TEXT, metadata TEXT"),
    26: ("list", "cursor TEXT, since_ns U64, count_max U32"),
    27: ("listed", "cursor TEXT, count U32"),
    40: ("status", "what TEXT"),
    41: ("status_reply", "state U8"),
    64: ("heartbeat", "machine U32, uuid NONCE, group TEXT, pool TEXT, address TEXT, http_address TEXT, state U8, "
        "started_ns U64, first_started_ns U64, total_bytes U64, free_bytes U64, load U32, mounts_online U32, "
        "mounts_total U32, incarnation U64, lag_records U64, lag_ns U64, flags U8, fastdfs_port U16"),
    65: ("heartbeat_ack", "tracker_started_ns U64, interval_ms U32, count U32"),
    66: ("goodbye", "machine U32, uuid NONCE"),
    67: ("goodbye_ack", ""),
    80: ("query", "purpose U8, pool TEXT, group TEXT, origin U32, size U64"),
    81: ("answer", "count U32, group TEXT"),
}
TYPE = {name: number for number, (name, _) in MESSAGES.items()}
FIELDS = {name: [tuple(field.split()) for field in fields.split(", ") if field] for name, fields in MESSAGES.values()}
NUMBERS = {"U8": "<B", "U16": "<H", "U32": "<I", "U64": "<Q"}
KEYS = {"NONCE": 16, "KEY32": 32}

ERRORS = ("OK FAILED USAGE NOT_FOUND DENIED UNAVAILABLE CONFLICT CORRUPT PARTIAL INTERRUPTED TIMEOUT BUSY NO_SPACE IO "
    "CANCELLED PROTOCOL UNSUPPORTED TOO_LARGE IMMUTABLE OUTCOME_UNKNOWN OFFLINE RANGE WRONG_NODE EXISTS CLOSED "
    "FOREIGN NO_RESOURCE FORMAT").split()


class Refused(Exception):
    """An ERROR reply: `name` as in the table of errors, `text` for people."""

    def __init__(self, code, text, version=(0, 0)):
        self.name = ERRORS[code] if code < len(ERRORS) else str(code)
        self.text = text
        self.version = version
        super().__init__(f"{self.name}: {text}")


class Closed(Exception):
    """The other end closed the connection."""


# ---- bytes ----


def encode_field(kind, value):
    if kind in NUMBERS:
        return struct.pack(NUMBERS[kind], value)
    if kind == "VERSION":
        return struct.pack("<QI", *(value or (0, 0)))
    if kind in KEYS:
        return (value or b"").ljust(KEYS[kind], b"\0")
    data = value.encode(errors="surrogateescape") if isinstance(value, str) else (value or b"")
    return struct.pack("<H", len(data)) + data


def encode_fields(name, **values):
    """Fields that are not named are 0, or empty."""
    known = {field for field, _ in FIELDS[name]}
    assert values.keys() <= known, values.keys() - known
    return b"".join(encode_field(kind, values.get(field, 0)) for field, kind in FIELDS[name])


def decode_field(kind, meta, at):
    if kind in NUMBERS:
        size = struct.calcsize(NUMBERS[kind])
        return struct.unpack_from(NUMBERS[kind], meta, at)[0], at + size
    if kind == "VERSION":
        return struct.unpack_from("<QI", meta, at), at + 12
    if kind in KEYS:
        return meta[at : at + KEYS[kind]], at + KEYS[kind]
    size = struct.unpack_from("<H", meta, at)[0]
    return meta[at + 2 : at + 2 + size].decode(errors="surrogateescape"), at + 2 + size


def decode_fields(name, meta):
    at, values = 0, {}
    for field, kind in FIELDS[name]:
        values[field], at = decode_field(kind, meta, at)
        if at > len(meta):
            raise ValueError(f"{name} ends within {field}")
    return values


def encode_frame(kind, request, meta=b"", data=b"", flags=0):
    """`kind` is a name or a number. Sizes are not checked: wrong frames can be made, too."""
    number = TYPE[kind] if isinstance(kind, str) else kind
    head = HEADER.pack(MAGIC, FRAME_VERSION, number, flags, request, len(meta), len(data), zlib.crc32(meta + data))
    return head + struct.pack("<I", zlib.crc32(head)) + meta + data


def encode_request(kind, request, data=b"", **fields):
    """A request with all of its body, cut into frames."""
    pieces = [data[at : at + DATA_MAX] for at in range(0, len(data), DATA_MAX)] or [b""]
    frames = []
    for i, piece in enumerate(pieces):
        meta = encode_fields(kind, **fields) if i == 0 else b""
        flags = MORE if i + 1 < len(pieces) else 0
        frames.append(encode_frame(kind if i == 0 else "data", request, meta, piece, flags))
    return b"".join(frames)


def transcript(label, hello, welcome):
    return label.ljust(16, b"\0") + struct.pack("<HHHQQBBBBII", hello["version_min"], hello["version_max"],
        welcome["version"], hello["capabilities"], welcome["capabilities"], hello["role"], welcome["server_role"],
        welcome["proof_needed"], 0, hello["machine"], welcome["machine"]) + hello["challenge"] + welcome["challenge"]


def proof(secret, label, hello, welcome):
    return hmac.new(secret, transcript(label, hello, welcome), hashlib.sha256).digest()


# ---- file ids ----

Fid = collections.namedtuple("Fid", "group mount stream origin seconds sequence is_packed is_mutable size crc chunk "
    "offset slot tail", defaults=(0, 0, 0, "0000000"))


def base64_of(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def encode_id(fid):
    """The text of an id. Ranges are not checked: impossible ids can be made, too."""
    word = 1 << 63 | 1 << 60 | fid.is_packed << 59 | fid.is_mutable << 58 | fid.sequence << 32
    word |= 0 if fid.is_mutable else fid.size & 0xFFFFFFFF
    head = struct.pack("<I", fid.origin) + struct.pack(">IQI", fid.seconds, word, fid.crc)
    middle = base64_of(struct.pack(">III", fid.chunk, fid.offset, fid.slot)) if fid.is_packed else ""
    low = (fid.chunk if fid.is_packed else fid.sequence) & 0xFF
    return f"{fid.group}/M{fid.mount:02X}/{fid.stream:02X}/{low:02X}/{base64_of(head)}{middle}{fid.tail}"


def decode_id(text):
    group, mount, stream, _, name = text.split("/")
    head = base64.urlsafe_b64decode(name[:27] + "=")
    origin = struct.unpack("<I", head[:4])[0]
    seconds, word, crc = struct.unpack(">IQI", head[4:])
    is_packed = word >> 59 & 1
    place = struct.unpack(">III", base64.urlsafe_b64decode(name[27:43])) if is_packed else (0, 0, 0)
    return Fid(group, int(mount[1:], 16), int(stream, 16), origin, seconds, word >> 32 & 0x7FFFFF, is_packed,
        word >> 58 & 1, word & 0xFFFFFFFF, crc, *place, name[-7:])


# ---- connections ----

Reply = collections.namedtuple("Reply", "name fields data")


def address_of(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Connection:
    """One connection, opened and past its handshake. `secret`: bytes, or None."""

    def __init__(self, address, role=CLIENT, machine=0, secret=None, timeout=30, must_shake=True):
        self.socket = socket.create_connection(address_of(address), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.numbers = itertools.count(1)
        self.bodies = {}  # request -> name, fields, bytes so far
        try:
            if must_shake:
                self.shake_hands(role, machine, secret)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def read_exactly(self, size):
        while len(self.buffer) < size:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(f"after {len(self.buffer)} of {size} bytes")
            self.buffer += data
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def read_frame(self):
        """(number, flags, request, meta, data), all checked."""
        head = self.read_exactly(32)
        magic, version, number, flags, request, meta_size, data_size, crc = HEADER.unpack(head[:28])
        assert magic == MAGIC and version == FRAME_VERSION and flags & ~MORE == 0, head
        assert struct.unpack("<I", head[28:])[0] == zlib.crc32(head[:28]), head
        assert meta_size <= META_MAX and data_size <= DATA_MAX, head
        body = self.read_exactly(meta_size + data_size)
        assert zlib.crc32(body) == crc
        return number, flags, request, body[:meta_size], body[meta_size:]

    def shake_hands(self, role, machine, secret):
        hello = dict(version_min=1, version_max=1, capabilities=0, role=role, machine=machine,
            challenge=os.urandom(32))
        self.write(encode_frame("hello", 0, encode_fields("hello", **hello)))
        welcome = self.expect("welcome")
        if secret and not hmac.compare_digest(welcome["proof"], proof(secret, b"cairn server 1", hello, welcome)):
            raise Refused(ERRORS.index("DENIED"), "the server does not know the secret")
        if welcome["proof_needed"]:
            prove = proof(secret or b"", b"cairn client 1", hello, welcome)
            self.write(encode_frame("prove", 0, encode_fields("prove", proof=prove)))
            self.expect("proven")
        self.welcome = welcome

    def expect(self, name):
        reply = self.receive()[1]
        assert reply.name == name, reply
        return reply.fields

    def send(self, kind, data=b"", **fields):
        """Returns the number of the request."""
        request = next(self.numbers)
        self.write(encode_request(kind, request, data, **fields))
        return request

    def receive(self):
        """The next whole reply: (request, Reply). An error for the connection itself is raised."""
        while True:
            number, flags, request, meta, data = self.read_frame()
            name = MESSAGES[number][0]
            if name == "data":
                body = self.bodies[request]
                body[2].extend(data)
            else:
                assert request not in self.bodies or name == "error", name
                body = self.bodies[request] = [name, decode_fields(name, meta), bytearray(data)]
            if flags & MORE:
                continue
            del self.bodies[request]
            reply = Reply(body[0], body[1], bytes(body[2]))
            if request == 0 and reply.name == "error":
                raise Refused(**reply.fields)
            return request, reply

    def call(self, kind, data=b"", **fields):
        """One request and its reply; an ERROR is raised as Refused."""
        sent = self.send(kind, data, **fields)
        request, reply = self.receive()
        assert request == sent, (request, sent)
        if reply.name == "error":
            raise Refused(**reply.fields)
        return reply

    def pipeline(self, requests, depth=32):
        """`requests`: an iterator of (kind, data, fields). Yields (its position, Reply), errors too,
        in the order of the replies. One write carries as many requests as there is room for."""
        requests = enumerate(requests)
        positions = {}
        is_over = False
        while True:
            frames = []
            while len(positions) < depth and not is_over:
                position, (kind, data, fields) = next(requests, (None, (None, None, None)))
                is_over = kind is None
                if not is_over:
                    request = next(self.numbers)
                    positions[request] = position
                    frames.append(encode_request(kind, request, data, **fields))
            self.write(b"".join(frames))
            if not positions:
                return
            # half of what is under way, so that the next write is not for one request only
            for _ in range((len(positions) + 1) // 2):
                request, reply = self.receive()
                yield positions.pop(request), reply

    # ---- verbs ----

    def upload(self, content, ack=LOCAL, is_mutable=1, **fields):
        return self.call("upload", content, nonce=os.urandom(16), ack=ack, is_mutable=is_mutable, size_known=1,
            size=len(content), **fields).fields

    def find(self, file_id, **fields):
        reply = self.call("find", id=file_id, **fields)
        if reply.fields["size"] == reply.fields["total"]:
            assert zlib.crc32(reply.data) == reply.fields["crc"], file_id
        return reply.data

    def modify(self, file_id, content, mode=REPLACE, **fields):
        values = dict(size_known=1, size=len(content), ack=LOCAL, nonce=os.urandom(16)) | fields
        return self.call("modify", content, id=file_id, mode=mode, **values).fields

    def delete(self, file_id, **fields):
        return self.call("delete", id=file_id, ack=LOCAL, nonce=os.urandom(16), **fields).fields

    def stat(self, file_id):
        return self.call("stat", id=file_id).fields

    def list(self, since_ns=0, count_max=1000):
        """Yields (id, size, modify_ns, version)."""
        cursor = ""
        while True:
            reply = self.call("list", cursor=cursor, since_ns=since_ns, count_max=count_max)
            at = 0
            for _ in range(reply.fields["count"]):
                entry = []
                for kind in ("TEXT", "U64", "U64", "VERSION"):
                    value, at = decode_field(kind, reply.data, at)
                    entry.append(value)
                yield tuple(entry)
            cursor = reply.fields["cursor"]
            if not cursor:
                return

    def status(self):
        import json

        return json.loads(self.call("status").data)

    def status_text(self, what):
        return self.call("status", what=what).data.decode()
