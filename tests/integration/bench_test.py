"""cairn bench: a small run tells all its figures."""

import unittest

from cluster import USAGE, ClusterTest


class Bench(ClusterTest):
    def test_a_small_run_tells_all_figures(self):
        cells = self.cairn_json("bench", "--sizes", "4K,300K", "--clients", "1,8", "--seconds", "100ms")
        self.assertEqual(len(cells), 2 * 2 * 2 * 2)
        for cell in cells:
            self.assertEqual(cell["errors"] + cell["corrupt"], 0)
            self.assertGreater(cell["operations"], 0)
            self.assertGreater(cell["operations_per_second"], 0)
            self.assertGreater(cell["operations_per_server_cpu_second"], 0)
            self.assertLessEqual(cell["p50_ns"], cell["p99_ns"])
            self.assertLessEqual(cell["p99_ns"], cell["max_ns"])
        self.assertEqual(self.cairn_json("ls"), [], "the bench left files behind")

    def test_the_table_has_a_line_per_cell(self):
        table = self.cairn("bench", "--sizes", "4K", "--clients", "2", "--ack", "memory", "--seconds", "50ms")
        self.assertEqual(len(table.splitlines()), 3)

    def test_bad_lists_are_usage_errors(self):
        self.cairn("bench", "--sizes", "4X", code=USAGE)
        self.cairn("bench", "--clients", "0", code=USAGE)
        self.cairn("bench", "--ack", "sometimes", code=USAGE)


if __name__ == "__main__":
    unittest.main()
