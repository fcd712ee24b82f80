"""A FastDFS client written from the fact sheet of its protocol alone: none of Cairn's code. Standard library only."""

import base64
import socket
import struct

TIMEOUT = 20
HEADER = struct.Struct(">qBB")
ANSWER = 100

UPLOAD, DELETE, SET_META, DOWNLOAD, GET_META, LINK, SLAVE, QUERY, APPENDER, APPEND = 11, 12, 13, 14, 15, 20, 21, 22, 23, 24
MODIFY, TRUNCATE, REGENERATE = 34, 36, 38
STORAGE_IDS, STORAGE_ID, STORAGE_STATUS, PARAMETERS, QUIT = 69, 70, 71, 75, 82
LIST_GROUP, LIST_GROUPS, LIST_STORAGES, DELETE_STORAGE, SET_TRUNK, LEADER = 90, 91, 92, 93, 94, 95
STORE, FETCH, UPDATE, STORE_GROUP, FETCH_ALL, STORE_ALL, STORE_GROUP_ALL = 101, 102, 103, 104, 105, 106, 107
DELETE_GROUP, PING = 108, 111

EPERM, ENOENT, EIO, EAGAIN, EBUSY, EEXIST, EINVAL, EFBIG, ENOSPC, EOPNOTSUPP = 1, 2, 5, 11, 16, 17, 22, 27, 28, 95


class Refused(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


def padded(text, size):
    raw = text.encode()
    assert len(raw) <= size
    return raw + bytes(size - len(raw))


def text_of(field):
    return field.split(b"\0")[0].decode()


def split_id(file_id):
    group, name = file_id.split("/", 1)
    return group, name


def decode_name(file_id):
    """What FastDFS's clients read from an id: source, time, size, CRC and kind."""
    name = file_id.rsplit("/", 1)[1]
    raw = base64.b64decode(name[:27].replace("-", "+").replace("_", "/") + "=")
    assert len(raw) == 20
    seconds, size, crc = struct.unpack(">IQI", raw[4:])
    (number,) = struct.unpack("<I", raw[:4])
    is_id = raw[3] == 0 and 1 <= number <= 2 ** 24 - 1
    is_appender = size >> 58 & 1 == 1
    is_trunk = size >> 59 & 1 == 1
    if size >> 63:
        size &= 0xFFFFFFFF
    return {
        "source": number if is_id else socket.inet_ntoa(raw[:4]),
        "time": seconds,
        "size": size,
        "crc": crc,
        "is_appender": is_appender,
        "is_trunk": is_trunk,
    }


def join_metadata(pairs):
    return b"\1".join(name.encode() + b"\2" + value.encode() for name, value in pairs.items())


def split_metadata(raw):
    return dict(record.decode().split("\2") for record in raw.split(b"\1"))


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
        self.address = address

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, command, body=b"", status=0, length=None):
        self.socket.sendall(HEADER.pack(len(body) if length is None else length, command, status) + body)

    def receive_exactly(self, size):
        parts = []
        while size > 0:
            part = self.socket.recv(min(size, 1 << 20))
            if not part:
                raise ConnectionError("the server closed")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def receive(self):
        """(status, body) of the next answer; its form is checked."""
        length, command, status = HEADER.unpack(self.receive_exactly(HEADER.size))
        assert command == ANSWER, f"answer has command {command}"
        assert length >= 0 and (status == 0 or length == 0), f"status {status} with {length} bytes"
        return status, self.receive_exactly(length)

    def is_closed(self):
        """The server closes, within the time-out."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def ask(self, command, body=b"", status=0):
        """The answer's body, or Refused."""
        self.send(command, body, status)
        status, body = self.receive()
        if status != 0:
            raise Refused(status)
        return body

    def ping(self):
        assert self.ask(PING) == b""


class Tracker(Connection):
    def store(self, group=None):
        body = self.ask(STORE if group is None else STORE_GROUP, b"" if group is None else padded(group, 16))
        assert len(body) == 40, len(body)
        port, index = struct.unpack(">qB", body[31:])
        return text_of(body[:16]), f"{text_of(body[16:31])}:{port}", index

    def store_all(self, group=None):
        body = self.ask(STORE_ALL if group is None else STORE_GROUP_ALL, b"" if group is None else padded(group, 16))
        count, rest = divmod(len(body) - 17, 23)
        assert rest == 0 and count > 0
        return text_of(body[:16]), [self.address_at(body, 16 + 23 * i) for i in range(count)], body[-1]

    @staticmethod
    def address_at(body, at):
        (port,) = struct.unpack(">q", body[at + 15:at + 23])
        return f"{text_of(body[at:at + 15])}:{port}"

    def locate(self, file_id, command):
        group, name = split_id(file_id)
        body = self.ask(command, padded(group, 16) + name.encode())
        assert len(body) == 39 and text_of(body[:16]) == group
        return self.address_at(body, 16)

    def fetch(self, file_id):
        return self.locate(file_id, FETCH)

    def update(self, file_id):
        return self.locate(file_id, UPDATE)

    def fetch_all(self, file_id):
        group, name = split_id(file_id)
        body = self.ask(FETCH_ALL, padded(group, 16) + name.encode())
        count, rest = divmod(len(body) - 16, 23)
        assert rest == 0 and count > 0
        return [self.address_at(body, 16 + 23 * i) for i in range(count)]

    GROUP = struct.Struct(">17s12q")

    def groups(self, body):
        assert len(body) % 113 == 0
        names = ("total", "free", "reserved", "trunk_free", "storages", "port", "readable", "writable", "current",
                 "paths", "subdirs", "trunk_file")
        found = []
        for at in range(0, len(body), 113):
            name, *numbers = self.GROUP.unpack_from(body, at)
            found.append({"name": text_of(name), **dict(zip(names, numbers))})
        return found

    def list_groups(self):
        return self.groups(self.ask(LIST_GROUPS))

    def list_group(self, group):
        return self.groups(self.ask(LIST_GROUP, padded(group, 16)))[0]

    STORAGE = struct.Struct(">BB16s16s16s8s10q3I42qB")

    def list_storages(self, group, which=""):
        body = self.ask(LIST_STORAGES, padded(group, 16) + which.encode())
        assert self.STORAGE.size == 487 and len(body) % 487 == 0
        found = []
        for at in range(0, len(body), 487):
            fields = self.STORAGE.unpack_from(body, at)
            found.append({"status": fields[0], "rw": fields[1], "id": text_of(fields[2]), "ip": text_of(fields[3]),
                          "version": text_of(fields[5]), "join": fields[6], "up": fields[7], "total": fields[8],
                          "free": fields[9], "paths": fields[12], "port": fields[15], "heartbeat": fields[-2]})
        return found


class Storage(Connection):
    """`group` is what commands name that name one."""

    def __init__(self, address, group):
        super().__init__(address)
        self.group = padded(group, 16)

    def upload(self, content, ext="", command=UPLOAD, path=0xFF):
        body = self.ask(command, struct.pack(">Bq", path, len(content)) + padded(ext, 6) + content)
        return f"{text_of(body[:16])}/{body[16:].decode()}"

    def upload_appender(self, content, ext=""):
        return self.upload(content, ext, APPENDER)

    def upload_slave(self, master, prefix, content, ext=""):
        name = split_id(master)[1].encode()
        body = self.ask(SLAVE, struct.pack(">qq", len(name), len(content)) + padded(prefix, 16) + padded(ext, 6) + name
                        + content)
        return f"{text_of(body[:16])}/{body[16:].decode()}"

    def append(self, file_id, content):
        name = split_id(file_id)[1].encode()
        assert self.ask(APPEND, struct.pack(">qq", len(name), len(content)) + name + content) == b""

    def modify(self, file_id, offset, content):
        name = split_id(file_id)[1].encode()
        assert self.ask(MODIFY, struct.pack(">qqq", len(name), offset, len(content)) + name + content) == b""

    def truncate(self, file_id, size):
        name = split_id(file_id)[1].encode()
        assert self.ask(TRUNCATE, struct.pack(">qq", len(name), size) + name) == b""

    def regenerate(self, file_id):
        return self.ask(REGENERATE, split_id(file_id)[1].encode())

    def of_file(self, file_id):
        return self.group + split_id(file_id)[1].encode()

    def delete(self, file_id):
        assert self.ask(DELETE, self.of_file(file_id)) == b""

    def download(self, file_id, offset=0, size=0):
        return self.ask(DOWNLOAD, struct.pack(">qq", offset, size) + self.of_file(file_id))

    def set_metadata(self, file_id, pairs, flag=b"O"):
        name = split_id(file_id)[1].encode()
        raw = pairs if isinstance(pairs, bytes) else join_metadata(pairs)
        body = struct.pack(">qq", len(name), len(raw)) + flag + self.group + name + raw
        assert self.ask(SET_META, body) == b""

    def metadata(self, file_id):
        return split_metadata(self.ask(GET_META, self.of_file(file_id)))

    def info(self, file_id, flags=0):
        body = self.ask(QUERY, self.of_file(file_id), flags)
        assert len(body) == 40, len(body)
        size, seconds, crc, ip = struct.unpack(">qqq16s", body)
        assert -2 ** 31 <= crc < 2 ** 31, "the CRC is sign extended"
        return {"size": size, "time": seconds, "crc": crc & 0xFFFFFFFF, "ip": text_of(ip)}
