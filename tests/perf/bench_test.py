#!/usr/bin/python3
"""perf/run: its JSON and report hold what docs/benchmarking.md promises, from a real run of a few rows."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PERF = pathlib.Path(__file__).resolve().parents[2] / "perf"
sys.path.insert(0, str(PERF))
import rows  # noqa: E402


def run(*arguments):
    return subprocess.run([PERF / "run", *arguments], capture_output=True, text=True, check=False)


def commit_of(name):
    return subprocess.run(["git", "-C", PERF, "rev-parse", "--verify", name + "^{commit}"], capture_output=True, text=True,
                          check=False).stdout


class Bench(unittest.TestCase):
    def test_the_file_says_what_was_measured_and_where(self):
        with tempfile.TemporaryDirectory() as folder:
            file, page = (pathlib.Path(folder) / name for name in ("rows.json", "page.html"))
            done = run("--only", r"^\[macsec\] egress 64$|^\[esp\] install$", "--rounds", "2", "--engine", "openssl", "--json", file,
                       "--report", page)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn("[macsec] egress 64", done.stdout)
            data = rows.read(file)
            report = page.read_text(encoding="utf-8")
        row = data["rows"][0]
        self.assertEqual({"pipeline [macsec]", "install SA"}, {each["workload"] for each in data["rows"]})
        self.assertEqual(("pipeline [macsec]", "aes-gcm-128", 64, "egress", 1, 1), rows.key(row))
        for field in ("cycles_per_packet", "crypto", "io_floor", "mpps", "gbps"):
            self.assertGreater(row[field], 0, field)
        self.assertAlmostEqual(row["overhead"], row["cycles_per_packet"] - row["io_floor"] - row["crypto"], 3)
        machine = data["machine"]
        cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        self.assertIn(machine["cpu"], cpuinfo)
        self.assertEqual(os.uname().release, machine["kernel"])
        self.assertEqual(" aes " in cpuinfo, "aes" in machine["cpu_features"])
        for library, version in (("dpdk", r"DPDK \d+\.\d+"), ("ipsec-mb", r"\d+\.\d+"), ("openssl", r"OpenSSL \d+\.\d+")):
            self.assertRegex(machine["libraries"][library], version)
        head = commit_of("HEAD")
        if head:  # an unpacked archive has none
            self.assertEqual(head, commit_of(data["commit"].removesuffix("-dirty")))
        self.assertEqual("openssl", data["engine"])
        self.assertTrue("pipeline [macsec] egress" in report)
        self.assertTrue(f"<td>{row['cycles_per_packet']:.2f}</td>" in report)

    def test_a_run_that_fails_is_not_a_success(self):
        done = run("--only", "no such row")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("no such row", done.stderr)


if __name__ == "__main__":
    unittest.main()
