#!/usr/bin/python3
"""perf/compare: what it calls a change, what it pairs, and what it refuses."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest

PERF = pathlib.Path(__file__).resolve().parents[3] / "perf"
sys.path.insert(0, str(PERF))
LOADER = importlib.machinery.SourceFileLoader("compare", str(PERF / "compare"))
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", LOADER))
LOADER.exec_module(compare)

MACHINE = {"cpu": "one", "cpu_features": ["aes"], "kernel": "6.1", "hugepages": True, "libraries": {"dpdk": "22.11"}}


def row(cycles, spread=0.02, **fields):
    return {"workload": "pipeline [esp]", "algorithm": "aes-gcm-128", "size": 64, "direction": "egress", "cores": 1,
            "sas": 1, "cycles_per_packet": cycles, "spread": spread, "io_floor": 10, "crypto": 50,
            "overhead": 40, "mpps": 20, "gbps": 10, **fields}


def file_of(*rows, **machine):
    return {"machine": {**MACHINE, **machine}, "commit": "abc", "engine": "auto", "rows": list(rows)}


class Compare(unittest.TestCase):
    def run_on(self, before, after, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder) / name for name in ("before.json", "after.json")]
            for path, data in zip(paths, (before, after)):
                path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
            return self.run_with(*options, *map(str, paths))

    def run_with(self, *arguments):
        """Exit code, output and error output."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = compare.main(arguments)
        return code, out.getvalue(), err.getvalue()

    def summary(self, before, after, *options):
        code, out, err = self.run_on(before, after, *options)
        self.assertEqual((0, ""), (code, err))
        return out.splitlines()[-1]

    def test_a_change_is_more_than_both_spreads_together(self):
        # Spreads of 2 % of 100 and of 3 % of b are 2 + 0.03 b: 105.154... up, 95.145... down.
        for after, expected in ((100, "0 slower, 0 faster, 1"), (105, "0 slower, 0 faster, 1"),
                                (105.3, "1 slower, 0 faster, 0"), (95.2, "0 slower, 0 faster, 1"),
                                (95, "0 slower, 1 faster, 0")):
            with self.subTest(after=after):
                self.assertEqual(expected + " within the noise",
                                 self.summary(file_of(row(100)), file_of(row(after, 0.03))))

    def test_the_table_shows_the_change(self):
        text = self.run_on(file_of(row(100), row(900, size="IMIX")), file_of(row(150), row(900, size="IMIX")))[1]
        self.assertRegex(text, r"pipeline \[esp\] +aes-gcm-128 +64 +egress +1 +1 +100\.0 +150\.0 +\+50\.0% +5\.0 +slower\n")
        self.assertNotIn("IMIX", text)
        self.assertIn("IMIX", self.run_on(file_of(row(1, size="IMIX")), file_of(row(1, size="IMIX")), "--all")[1])

    def test_every_part_of_the_key_pairs(self):
        for field, value in (("workload", "pipeline []"), ("algorithm", "none"), ("size", 65), ("size", "IMIX"),
                             ("direction", "ingress"), ("cores", 2), ("sas", 64)):
            with self.subTest(field=field):
                _, out, _ = self.run_on(file_of(row(100)), file_of(row(900, **{field: value})))
                self.assertIn("only before: pipeline [esp] aes-gcm-128 64 egress 1 1\n", out)
                self.assertIn(f"{value}", out.split("only after: ")[1])
                self.assertIn("0 slower, 0 faster, 0 within the noise", out)

    def test_what_is_not_counted_by_packets_is_compared_too(self):
        install = {"workload": "install SA", "direction": "egress", "cores": 1, "spread": 0.1}
        done = self.run_on(file_of({**install, "cycles_per_sa": 1000}), file_of({**install, "cycles_per_sa": 700}))
        self.assertRegex(done[1], r"install SA +- +- +egress +1 +- +1000\.0 +700\.0 +-30\.0% +170\.0 +faster\n")

    def test_other_machines_are_refused_unless_asked_for(self):
        for machine in ({"cpu": "two"}, {"cpu_features": ["aes", "vaes"]}):
            code, out, err = self.run_on(file_of(row(100)), file_of(row(200), **machine))
            self.assertEqual((2, ""), (code, out))
            self.assertIn("different machines", err)
            self.assertIn("1 slower", self.summary(file_of(row(100)), file_of(row(200), **machine), "--any-machine"))

    def test_other_circumstances_are_told(self):
        code, out, _ = self.run_on(file_of(row(100)), file_of(row(100), kernel="6.2"))
        self.assertEqual(0, code)
        self.assertIn("differs: kernel: 6.1 / 6.2", out)
        code, out, _ = self.run_on(file_of(row(100)), {**file_of(row(101)), "engine": "aes-ni"})
        self.assertEqual((0, True), (code, "differs: engine: auto / aes-ni" in out))

    def test_what_cannot_be_read_is_named(self):
        good = file_of(row(100))
        for bad, expected in (("{", "Expecting"), ("[]", "no machine and rows"), ({"rows": []}, "no machine and rows"),
                              ({"rows": [], "machine": {"cpu": "one"}}, "no machine and rows"),
                              (file_of({"size": 64}), "row 0 has no workload"),
                              (file_of(row(1, cores=[1])), "row 0: cores is [1]"),
                              (file_of({"workload": "w"}), "row 0: cycles_per_packet is None"), (file_of(7), "row 0 is no object"),
                              (file_of(row(100), row("fast", size=65)), "row 1: cycles_per_packet is fast"),
                              (file_of(row(float("nan"))), "cycles_per_packet is nan"),
                              (file_of(row(100, -0.1)), "spread is -0.1"),
                              (file_of(row(100), row(100)), "the same workload")):
            with self.subTest(bad=bad):
                code, out, err = self.run_on(good, bad)
                self.assertEqual((2, ""), (code, out))
                self.assertIn("after.json: ", err)
                self.assertIn(expected, err)
        code, out, err = self.run_with("/nowhere/a.json", "/nowhere/b.json")
        self.assertEqual((2, ""), (code, out))
        self.assertIn("/nowhere/a.json", err)


if __name__ == "__main__":
    unittest.main()
