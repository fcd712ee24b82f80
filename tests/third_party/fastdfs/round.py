"""A full round of what the FastDFS client of PyPI offers, unmodified: round.py HOST PORT DIRECTORY

Prints one line per operation that did what it should; the first that did not ends the round."""

import os
import random
import sys
import time
import zlib

from fastdfs_client import FastdfsClient

host, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = FastdfsClient({"host_tuple": (host,), "port": port, "timeout": 30, "name": "Tracker Pool"})


def data_of(size):
    return random.Random(size).randbytes(size)


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def id_of(result):
    return text(result.get("Remote file_id") or result.get("Remote file id"))


def content(file_id, offset=0, size=0):
    return client.download_to_buffer(file_id, offset, size)["Content"]


def file_of(name, data):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("that should have been refused")


def upload_and_download():
    for size in (1, 100, 5000, 70000, 400000, 3000000):
        file_id = id_of(client.upload_by_buffer(data_of(size), "dat"))
        assert file_id.startswith("g1/M00/") and file_id.endswith(".dat"), file_id
        assert content(file_id) == data_of(size), size
    file_id = id_of(client.upload_by_filename(file_of("a.jpg", data_of(1234))))
    assert file_id.endswith(".jpg") and content(file_id) == data_of(1234)
    path = os.path.join(directory, "down")
    client.download_to_file(path, file_id)
    with open(path, "rb") as file:
        assert file.read() == data_of(1234)


def ranges():
    file_id = id_of(client.upload_by_buffer(data_of(100000), "bin"))
    assert content(file_id, 5, 50000) == data_of(100000)[5:50005]


# Its set_meta_data, upload_slave, append, modify, truncate and lists pack texts where bytes belong: with no server
# can they work.
def metadata():
    file_id = id_of(client.upload_by_buffer(data_of(100), "jpg"))
    refused(client.get_meta_data, file_id)


def deletes():
    file_id = id_of(client.upload_by_buffer(data_of(100), "bin"))
    client.delete_file(file_id)
    refused(client.delete_file, file_id)
    refused(content, file_id)


for name, step in list(globals().items()):
    if name in ("upload_and_download", "ranges", "metadata", "deletes"):
        step()
        print(name.replace("_", " "), flush=True)
