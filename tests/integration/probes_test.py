"""The probes that doc/probes.md names are in the program, as notes that tools find."""

import os
import re
import subprocess
import unittest

from cluster import CAIRN

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../doc/probes.md")


def probes_of(path):
    """{name: count of arguments} from the ELF notes."""
    text = subprocess.run(["readelf", "-nW", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Provider: cairn\s+Name: (\S+)\s+Location: [^\n]*\n\s+Arguments: ([^\n]*)", text)
    return {name: len(arguments.split()) for name, arguments in found}


def documented():
    with open(DOCUMENT) as file:
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", file.read(), re.MULTILINE)
    return {name: len(arguments.split(",")) for name, arguments in rows}


@unittest.skipUnless(os.environ.get("CAIRN_HAS_SDT") == "1", "built without sys/sdt.h (systemtap-sdt-dev)")
class ProbesTest(unittest.TestCase):
    def test_every_probe_of_the_document_is_in_the_program_and_no_other(self):
        self.assertEqual(probes_of(CAIRN), documented())
        self.assertIn("operation__end", documented())


if __name__ == "__main__":
    unittest.main()
