#!/usr/bin/env python3
"""Writes format_v1.def: a mount point of disk format 1, as bytes. Follows doc/disk-format.md and shares
nothing with the C code: what it makes, every version of Cairn must be able to open.

usage: format_v1.py            prints the table
       format_v1.py --check F  is F what it would print?

The mount point belongs to machine 7, index 3, with one stream. It was left in the middle of work: the
log holds everything behind a checkpoint, nothing of it is applied, and its last batch is torn.
"""

import struct
import sys
import zlib

MACHINE, MOUNT, STREAM = 7, 3, 0
CHUNK_SIZE, SEGMENT_SIZE = 256 << 10, 64 << 10
SEED, SALTS = 0x5EED0001, {1: 0x1111222233334444, 2: 0x5555666677778888}
CLUSTER, STORAGE, MOUNT_UUID = (bytes(range(i, i + 16)) for i in (0x10, 0x20, 0x30))
SECOND = 1 << 23
CLOCK = 1_700_000_000 * SECOND
TIME = 1_700_000_000 * 10**9
CREATED = TIME + 1
NOTHING = bytes(24)


def crc(*parts):
    return zlib.crc32(b"".join(parts))


def pad(data, unit):
    return data + bytes(-len(data) % unit)


def sparse(size):
    return b"the first bytes" + bytes(size - 29) + b"the last bytes"


def identity(number, suffix):
    return CLOCK + number, MACHINE, suffix


def place(kind, slot_size=0, birth=0, chunk=0, offset=0):
    units, machine = (slot_size // 64).to_bytes(3, "little"), MACHINE.to_bytes(3, "little")
    return (bytes([kind, MOUNT, STREAM]) + machine + units + birth.to_bytes(7, "little")
            + struct.pack("<II", chunk, offset))


def meta(who, version, content, slot_size, seed, flags=8, attributes=b"", birth=(0, 0), other=NOTHING,
         size=None, modified=TIME, nonce=bytes(16), created=CREATED, content_crc=None, blocks=None):
    clock, origin, suffix = who
    entries = -(-slot_size // 65536) if slot_size > 65536 else 0
    table = [crc(content[i:i + 65536]) for i in range(0, len(content), 65536)] if entries else []
    table += [0] * (entries - len(table))
    head = struct.pack("<QI7sBIQIIQQQ", clock, origin, suffix, flags, slot_size // 64, version, MACHINE,
                       crc(content) if content_crc is None else content_crc,
                       len(content) if size is None else size, created, modified)
    head += nonce + other + struct.pack("<HHIQ", len(attributes), 0, birth[1], birth[0])
    body = pad(head + attributes + struct.pack(f"<{entries}I", *table), 8)
    return b"CSL1" + struct.pack("<I", crc(struct.pack("<I", seed), b"CSL1", bytes(4), body)) + body


def record(lsn, kind, flags=0, who=(0, 0, bytes(7)), version=0, base=0, home=NOTHING, target=NOTHING,
           freed=NOTHING, home_meta=b"", target_meta=b"", entries=(), content=b"", offset=0, total=None,
           watermark=0, nonce=bytes(16), incarnation=1):
    clock, origin, suffix = who
    head = struct.pack("<QQIBBBBQI7sx", lsn, incarnation, MACHINE, MOUNT, STREAM, kind, flags, clock,
                       origin, suffix)
    machines = MACHINE if version else 0, MACHINE if base else 0
    head += struct.pack("<IQQIHH", machines[0], version, base, machines[1], len(home_meta),
                        len(target_meta))
    head += nonce + struct.pack("<QQ", TIME, watermark) + home + target + freed
    head += struct.pack("<QQIIII", offset, len(content) if total is None else total, len(content),
                        crc(content) if content else 0, len(entries), 0)
    tail = home_meta + target_meta + b"".join(struct.pack("<II", *entry) for entry in entries)
    body = pad(head + tail + (content if flags & 1 else b""), 8)
    return struct.pack("<II", len(body) + 8, crc(body)) + body


def segment(number, first_lsn, previous=0, end=0, incarnation=1):
    body = struct.pack("<II", 1, MACHINE) + STORAGE + MOUNT_UUID
    body += struct.pack("<QQQQQQBB", number, incarnation, SALTS[number], first_lsn, previous, end, MOUNT,
                        STREAM)
    body = pad(bytes(8) + body, 4096)[8:]
    return b"CLS1" + struct.pack("<I", crc(body)) + body


def batch(number, first_lsn, durable, records, incarnation=1):
    data = b"".join(records)
    size = -(-(64 + len(data)) // 4096) * 4096
    body = struct.pack("<IIIIQQQQQ", size, 64 + len(data), len(records), 0, first_lsn, durable, number,
                       incarnation, 0)
    body += data + bytes(size - 64 - len(data))
    key = struct.pack("<QQQ", SALTS[number], number, incarnation)
    return b"CLB1" + struct.pack("<I", crc(key, body)) + body


def chunk_file():
    body = struct.pack("<IIBBxxIIIQ", 1, MACHINE, MOUNT, STREAM, 1, CHUNK_SIZE, SEED, TIME) + STORAGE
    body = body + bytes(120 - len(body))
    page = pad(b"CCH1" + struct.pack("<I", crc(body)) + body, 4096)
    head = [b"CAIRNMAP", struct.pack("<I", 1), bytes(4), struct.pack(
        "<IIQIIIIIIBB", MACHINE, 1, 1, CHUNK_SIZE, 4096, 0, 0, 0, 0, MOUNT, STREAM)]
    head[2] = struct.pack("<I", crc(pad(b"".join(head), 4096)))
    return {0: page, CHUNK_SIZE + 4096: pad(b"".join(head), 4096)}  # generation 1: copy 1


def checkpoint():
    body = struct.pack("<IIBBBBIQQQQQQIIII", 1, MACHINE, MOUNT, STREAM, 0, 0, 2, 1, 2, 1,
                       CLOCK + 60 * SECOND, 0, 0, 1, CHUNK_SIZE, 1, 0)
    body += STORAGE + MOUNT_UUID + struct.pack("<I", 0)
    body += bytes(152 - len(body)) + struct.pack("<IIII", 1, 0, 0, 0)
    return {0: b"CCP1" + struct.pack("<I", crc(body)) + body}


def mount_copy(generation):
    parts = [b"CAIRNMNT", struct.pack("<I", 1), bytes(4), struct.pack("<Q", generation)]
    parts += [CLUSTER, STORAGE, MOUNT_UUID, struct.pack("<IHH", MACHINE, MOUNT, 1), pad(b"g1", 24)]
    parts += [struct.pack("<IIQQQQQQQII", CHUNK_SIZE, SEGMENT_SIZE, 128 << 10, TIME, generation, 1, 5, 6, TIME,
                          generation == 1, 0)]
    data = b"".join(parts)
    data += bytes(2048 + MOUNT * 24 - len(data)) + MOUNT_UUID + struct.pack("<Q", generation)
    data = pad(data, 8192)
    return data[:12] + struct.pack("<I", crc(data)) + data[16:]


def mount_point():
    """{file: {offset: bytes}}: what is not listed is zero."""
    small, gone, large, single = (identity(i, b"000.txt") for i in (1, 2, 3, 4))
    old, new, target = b"small", sparse(300), place(1, 512, CLOCK + 5, 1, 4096 + 256 + 192)
    at = {small: place(1, 256, 0, 1, 4096), gone: place(1, 192, 0, 1, 4096 + 256),
          large: place(1, 70144, 0, 1, 4096 + 256 + 192 + 512)}
    pool = b"\x01\x05\x00photo\x04\x08\x00" + struct.pack("<Q", 2_000_000_000)
    nonce = bytes(range(0x40, 0x50))
    content = sparse(5000)
    whole = content[:2] + b"HELLO" + content[7:]
    at_single = place(2)
    made = meta(single, 1, content, 0, 0, birth=(1, MACHINE), other=at_single)
    changed = meta(single, 2, whole, 0, 0, birth=(1, MACHINE), other=at_single, modified=TIME + 5)
    home = meta(small, 1, old, 256, SEED, attributes=pool, nonce=nonce)
    forward = meta(small, 2, b"", 256, SEED, flags=8 | 2, attributes=pool, other=target, size=len(new))
    moved = meta(small, 2, new, 512, SEED, flags=8 | 4, attributes=pool, other=at[small],
                 birth=(CLOCK + 5, MACHINE))
    big = sparse(70000)
    first = [record(1, 7, watermark=CLOCK + 60 * SECOND), record(2, 8, home=place(1, 0, 0, 1)),
             record(3, 1, 16 | 1, small, 1, 0, at[small], home_meta=home, content=old, nonce=nonce)]
    second = [record(4, 1, 16 | 1, gone, 1, 0, at[gone], content=b"gone",
                     home_meta=meta(gone, 1, b"gone", 192, SEED, flags=0)),
              record(5, 2, 16 | 2 | 1, small, 2, 1, at[small], target, home_meta=forward,
                     target_meta=moved, content=new),
              record(6, 6, 0, gone, 2, 1, at[gone])]
    third = [record(7, 1, 16, large, 1, 0, at[large], content=big,
                    home_meta=meta(large, 1, big, 70144, SEED)),
             record(8, 1, 4, single, 1, 0, at_single, home_meta=made, content=content),
             record(9, 3, 1, single, 2, 1, at_single, home_meta=changed, entries=[(0, crc(whole))],
                    content=b"HELLO", offset=2, total=5000)]
    torn = batch(2, 10, 9, [record(10, 7, watermark=CLOCK + 999 * SECOND, incarnation=1)])
    torn = torn[:200] + bytes([torn[200] ^ 1]) + torn[201:]
    chunk = chunk_file()
    chunk[4096 + 256 + 192 + 512 + 136] = big  # referenced: there before its record
    name = f"{MACHINE:06x}-{single[0]:014x}"
    page = bytes(32) + struct.pack("<I", crc(content))
    return {
        "cairn.mount": {0: mount_copy(2), 8192: mount_copy(1)},
        "ckpt/00.1": checkpoint(),
        "log/00/0000000000000001": {0: segment(1, 1), 4096: batch(1, 1, 0, first),
                                    8192: batch(1, 4, 3, second)},
        "log/00/0000000000000002": {0: segment(2, 7, 1, 12288), 4096: batch(2, 7, 6, third), 8192: torn},
        "chunks/000007-03-00-00000001": chunk,
        f"new/00/{name}.1-7": {0: made, 4096: page, 8192: content},
    }


def pieces(data):
    """(offset, bytes) without long runs of zeros, at most 32 bytes each."""
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        end = data.find(bytes(8), at, at + 32)
        end = min(len(data), at + 32) if end < 0 else end
        yield at, data[at:end]
        at = end


def table():
    lines = ["/* A mount point of disk format 1; zeros are left out. Made by format_v1.py from doc/disk-format.md.",
             " * Never changed: what it holds must be readable for ever. */",
             "/* clang-format off */"]
    for file, parts in mount_point().items():
        for offset, data in parts.items():
            for at, piece in pieces(data):
                lines.append(f'{{"{file}", {offset + at}, "{piece.hex()}"}},')
    return "\n".join(lines) + "\n"


def main(arguments):
    if not arguments:
        sys.stdout.write(table())
        return 0
    if arguments[0] == "--check" and len(arguments) == 2:
        with open(arguments[1], encoding="ascii") as file:
            if file.read() == table():
                return 0
        print(f"{arguments[1]} is not what format_v1.py makes: the image must never change", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
