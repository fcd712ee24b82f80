"""The long run: a storage needs no more memory for a million small files than for ten thousand.

Minutes and about 2 GiB of disk: CAIRN_LONG=1 ctest -L long, or this file by itself with CAIRN_LONG=1."""

import os
import unittest

import native_client as native
from drill import MIB, OwnServerTest, settled

FEW, MANY = 10_000, 1_000_000
GROWN_AT_MOST = 8 * MIB  # buffers touched for the first time, and 24 bytes per chunk file; measured: 2.3 MiB


@unittest.skipUnless(os.environ.get("CAIRN_LONG") == "1", "takes minutes: CAIRN_LONG=1 runs it")
class Memory(OwnServerTest):
    in_memory = True

    def test_memory_does_not_follow_the_number_of_files(self):
        self.server = self.start_server()
        self.connection = self.server.connect()
        self.addCleanup(self.connection.close)
        self.upload(FEW)
        few = self.measure(FEW)
        self.upload(MANY - FEW)
        many = self.measure(MANY)
        self.assertLessEqual(many - few, GROWN_AT_MOST)
        self.assertLessEqual(many, self.connection.status()["budget"]["memory_sum"] + 64 * MIB)

    def upload(self, count):
        content = os.urandom(64)
        requests = (("upload", content, dict(ack=native.LOCAL, is_mutable=1)) for _ in range(count))
        for _, reply in self.connection.pipeline(requests, depth=64):
            self.assertEqual(reply.name, "uploaded", reply.fields)

    def measure(self, count):
        status = self.connection.status()
        resident = settled(lambda: self.server.resident() // (256 * 1024)) * 256 * 1024
        print(f"{count} files: VmRSS {resident / MIB:.1f} MiB, ledger {status['memory']['now'] / MIB:.1f} MiB, "
            f"{self.server.descriptor_count()} descriptors", flush=True)
        return resident


if __name__ == "__main__":
    unittest.main()
