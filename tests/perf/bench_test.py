#!/usr/bin/python3
"""perf/run: its JSON and report hold what docs/benchmarking.md promises, from a real run of a few rows."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

CPUINFO = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
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
        self.check_origin(data)
        self.assertEqual("openssl", data["engine"])
        self.assertTrue(">[macsec] egress<" in report)
        self.assertTrue(f"<td>{row['cycles_per_packet']:.2f}</td>" in report)

    def test_other_algorithms_are_beside_their_own_crypto(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            done = run("--only", r"^\[esp\] (egress|ingress) 1420 aes-cbc-128-hmac-sha1-96$", "--rounds", "5", "--json", file)
            self.assertEqual(0, done.returncode, done.stderr)
            found = rows.read(file)["rows"]
        self.assertEqual([("pipeline [esp]", "aes-cbc-128-hmac-sha1-96", 1420, way, 1, 1) for way in ("egress", "ingress")],
                         [rows.key(row) for row in found])
        for row in found:
            self.assertEqual((80, "cycles over the crypto"), (row["goal"], row["goal_of"]))
            lower, upper = row["ratio_quartiles"]
            self.assertTrue(lower <= row["ratio"] <= upper, row)
            self.assertTrue(0 < row["ratio"] < row["cycles_per_packet"], row)  # what neither floor nor crypto explain
            self.assertGreater(row["crypto"], row["io_floor"])

    def test_goals_are_in_proportion_to_what_they_name(self):
        names = {"[esp] egress 64": "of the crypto", "[esp] ingress 64": "of egress", "[macsec] egress 64": "of the crypto",
                 "[esp, macsec] egress 64": "of each alone", "[esp] egress 64 64 SAs": "of one SA"}
        expression = "|".join(f"^{re.escape(name)}$" for name in names)
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            self.assertEqual(0, run("--full", "--only", expression, "--rounds", "5", "--json", file).returncode)
            found = rows.read(file)["rows"]
            self.assertEqual(list(names.values()), [row["goal_of"] for row in found])
            egress, ingress, macsec, both, many = (row["cycles_per_packet"] for row in found)
            floor, crypto, of_macsec = found[0]["io_floor"], found[0]["crypto"], found[2]["crypto"]
            for row, expected in zip(found, ((egress - floor) / crypto, ingress / egress, (macsec - floor) / of_macsec,
                                             both / (egress + macsec - floor), many / egress)):
                # Measured at another time, on a machine that may do something else: not its speed is judged.
                self.assertTrue(expected / 4 < row["ratio"] < expected * 4, (row, expected))
            self.assertEqual(0, run("--full", "--only", expression, "--rounds", "5", "--no-goals", "--json", file).returncode)
            self.assertEqual({"of the crypto"}, {row["goal_of"] for row in rows.read(file)["rows"] if "goal_of" in row})

    @unittest.skipUnless(all(f" {flag} " in CPUINFO for flag in ("aes", "avx2")), "this processor has no AES-NI or no AVX2")
    def test_a_narrower_processor_is_told_in_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            done = run("--aes-ni", "--only", r"^\[macsec\] egress 64$", "--rounds", "5", "--json", file)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual("aes-ni", rows.read(file)["engine"])
        self.assertNotEqual(0, run("--aes-ni", "--engine", "openssl", "--only", "gress").returncode)

    def rows_of_lanes(self, expression):
        """The keys of --full's rows whose names match."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            done = run("--full", "--only", expression, "--rounds", "2", "--json", file)
            self.assertEqual(0, done.returncode, done.stderr)
            return [rows.key(row) for row in rows.read(file)["rows"]]

    def test_jumbo_frames_go_through_every_lane(self):
        self.assertEqual([(f"pipeline {stages}", algorithm, 8900, way, 1, sas)
                          for stages, algorithm, sas in (("[]", "none", 0), ("[esp]", "aes-gcm-128", 1),
                                                         ("[macsec]", "aes-gcm-128", 1), ("[esp, macsec]", "aes-gcm-128", 1))
                          for way in ("egress", "ingress")], self.rows_of_lanes("gress 8900$"))

    def test_other_ciphers_have_mixed_sizes_and_macsec_every_suite(self):
        esp = ("aes-gcm-256", "chacha20-poly1305", "aes-cbc-128-hmac-sha1-96", "aes-cbc-128-hmac-sha256-128",
               "aes-cbc-256-hmac-sha256-128")
        macsec = ("gcm-aes-256", "gcm-aes-xpn-128", "gcm-aes-xpn-256")
        self.assertEqual([(f"pipeline {stages}", cipher, "IMIX", way, 1, 1)
                          for stages, ciphers in (("[esp]", esp), ("[macsec]", macsec))
                          for cipher in ciphers for way in ("egress", "ingress")], self.rows_of_lanes("IMIX [a-z]"))

    def check_origin(self, data):
        machine = data["machine"]
        self.assertIn(machine["cpu"], CPUINFO)
        self.assertEqual(os.uname().release, machine["kernel"])
        self.assertEqual(" aes " in CPUINFO, "aes" in machine["cpu_features"])
        for library, version in (("dpdk", r"DPDK \d+\.\d+"), ("ipsec-mb", r"\d+\.\d+"), ("openssl", r"OpenSSL \d+\.\d+")):
            self.assertRegex(machine["libraries"][library], version)
        head = commit_of("HEAD")
        if head:  # an unpacked archive has none
            self.assertEqual(head, commit_of(data["commit"].removesuffix("-dirty")))

    def test_crypto_alone_in_every_engine(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            done = run("--crypto", "--full", "--benchmark_filter=/(aes-gcm-128|null-hmac-sha1-96)/(seal|open)/64/",
                       "--benchmark_min_time=0.001", "--benchmark_repetitions=3", "--json", file)
            self.assertEqual(0, done.returncode, done.stderr)
            data = rows.read(file)
        self.check_origin(data)
        found = {rows.key(row)[:4] for row in data["rows"]}
        for engine in ("ipsec-mb-sse", "openssl", "cryptodev-aesni_mb"):
            for algorithm in ("aes-gcm-128", "null-hmac-sha1-96"):
                for direction in ("seal", "open"):
                    self.assertIn((f"crypto {engine}", algorithm, 64, direction), found)
        self.assertEqual("aes" in data["machine"]["cpu_features"],
                         any(workload.startswith("crypto batch-gcm-") for workload, *_ in found))
        for row in data["rows"]:
            self.assertGreater(row["cycles_per_packet"], 0)
            # Cycles and packets are counted by one clock.
            self.assertAlmostEqual(1, row["cycles_per_packet"] * row["mpps"] * 1e6 / data["machine"]["tsc_hz"], 3)
            self.assertAlmostEqual(row["gbps"], row["mpps"] * 64 * 8 / 1000, 6)
        self.assertRegex(done.stdout, r"aes-gcm-128 +seal +64 +.*\d\*")

    def test_the_usual_crypto_rows_are_of_every_engine_and_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.json"
            done = run("--crypto", "--benchmark_min_time=0.0001", "--benchmark_repetitions=1", "--json", file)
            self.assertEqual(0, done.returncode, done.stderr)
            found = rows.read(file)["rows"]
        for engine in ("ipsec-mb-sse", "openssl", "cryptodev-aesni_mb"):
            self.assertEqual({("aes-gcm-128", size, way) for size in (64, 1424) for way in ("seal", "open")}
                             | {(algorithm, 1424, "seal") for algorithm in
                                ("aes-gcm-256", "chacha20-poly1305", "aes-cbc-128-hmac-sha1-96", "aes-cbc-256-hmac-sha256-128")},
                             {rows.key(row)[1:4] for row in found if row["workload"] == f"crypto {engine}"})

    def test_lanes_and_crypto_are_in_one_file(self):
        lane = r"^\[esp\] egress 64$|^\[esp\] egress 64 64 SAs$"
        both = {"pipeline [esp]", "crypto openssl"}
        for options, expected in (((), both), (("--sas", "1"), both), (("--sas", "64"), {"pipeline [esp]"})):
            with self.subTest(options=options), tempfile.TemporaryDirectory() as folder:
                file, page = (pathlib.Path(folder) / name for name in ("rows.json", "page.html"))
                done = run("--only", lane + "|^openssl aes-gcm-128 seal 64$", "--rounds", "2", "--engine", "openssl",
                           *options, "--json", file, "--report", page)
                self.assertEqual(0, done.returncode, done.stderr)
                data = rows.read(file)
                self.assertEqual(expected, {row["workload"] for row in data["rows"]})
                self.assertEqual("openssl", data["engine"])
                self.check_origin(data)
                self.assertEqual("crypto openssl" in expected, "Crypto by engine" in page.read_text(encoding="utf-8"))

    def test_a_run_that_fails_is_not_a_success(self):
        for arguments in (("--only", "no such row"), ("--crypto", "--only", "no such row"),
                          ("--crypto", "--benchmark_filter=no such row")):
            done = run(*arguments)
            self.assertNotEqual(0, done.returncode)
            self.assertIn("no such row", done.stderr)
        self.assertNotEqual(0, run("--only", "no such row", "--engine", "abacus").returncode)


if __name__ == "__main__":
    unittest.main()
