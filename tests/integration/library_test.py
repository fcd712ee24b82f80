"""libcairn against a real cluster: every function of the public header, and the example of the docs."""

import os
import subprocess
import unittest

from cluster import COMMAND_SECONDS, ClusterTest


class Library(ClusterTest):
    def run_program(self, variable):
        result = subprocess.run([os.environ[variable], self.server.tracker], capture_output=True, text=True,
            timeout=COMMAND_SECONDS)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_every_function_does_what_the_header_says(self):
        self.run_program("CAIRN_API_CHECK")

    def test_the_example_of_the_documentation_works(self):
        self.assertIn("hello, world\n", self.run_program("CAIRN_HELLO"))


if __name__ == "__main__":
    unittest.main()
