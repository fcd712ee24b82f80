"""FastDFS clients of others, unmodified, against `cairn up --fastdfs`: from the npm registry and from PyPI, as pinned in
tests/third_party/fastdfs. Skipped where npm or pip cannot reach a registry."""

import os
import shutil
import subprocess
import sys
import unittest

from cluster import ClusterTest

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENTS = os.path.join(HERE, "../third_party/fastdfs")
INSTALL_SECONDS = 120
ROUND_SECONDS = 100


class ClientsTest(ClusterTest):
    flags = ["--fastdfs"]

    def install(self, what, *command, **more):
        """Skip where that fails: no tool, or no registry."""
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not installed")
        try:
            result = subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=False, **more)
        except subprocess.TimeoutExpired:
            self.skipTest(f"{what}: the registry does not answer")
        if result.returncode != 0:
            self.skipTest(f"{what} cannot be installed: {result.stderr.decode(errors='replace')[-300:]}")

    def round(self, *command, **environment):
        """Lines of what worked; the round must end well."""
        result = subprocess.run(command, capture_output=True, timeout=ROUND_SECONDS, check=False,
                                env={**os.environ, **environment})
        talk = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, 0, f"{result.stdout.decode()}\n{talk}")
        return result.stdout.decode().splitlines()

    def tracker(self):
        return self.server.ready["fastdfs_tracker"].rsplit(":", 1)


class NpmTest(ClientsTest):
    def setUp(self):
        super().setUp()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(CLIENTS, name), self.dir)
        self.install("npm's clients", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=self.dir)

    def serve(self, client):
        return self.round("node", os.path.join(CLIENTS, "round.js"), client, *self.tracker(), self.dir,
                          NODE_PATH=self.path("node_modules"))

    def test_fdfs_does_all_it_offers(self):
        self.assertEqual(len(self.serve("fdfs")), 10)

    def test_fdfs_client_does_all_it_offers(self):
        self.assertEqual(len(self.serve("fdfs-client")), 8)


class PythonTest(ClientsTest):
    flags = ["--fastdfs", "--fastdfs-wide"]

    def test_fastdfs_client_does_what_it_can(self):
        target = self.path("packages")
        self.install("PyPI's client", sys.executable, "-m", "pip", "install", "--quiet", "--target", target, "-r",
                     os.path.join(CLIENTS, "requirements.txt"))
        done = self.round(sys.executable, os.path.join(CLIENTS, "round.py"), *self.tracker(), self.dir,
                          PYTHONPATH=target)
        self.assertEqual(len(done), 4)


if __name__ == "__main__":
    unittest.main()
