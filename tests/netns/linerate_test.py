#!/usr/bin/python3
"""perf/linerate as it is: every frame arrives or is counted as lost, and what leaves sealed is sealed. No speed."""

import importlib.machinery
import importlib.util
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_loader(
    "linerate", importlib.machinery.SourceFileLoader("linerate", str(TOP / "perf" / "linerate" / "run")))
linerate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(linerate)
from lab import wait_until  # noqa: E402  linerate knows where it is

SIZE = 256
UDP = 14 + 20  # where it begins in the frames that testpmd offers
LOOKUPS = 3000  # for each frame: some 10000 a second, so that the capture stays small


def frames(path):
    """What a pcap file holds."""
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return found


def bench_of(*words, capture=None):
    return linerate.Bench(linerate.parse(words), SIZE, capture)


class Linerate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sealwire-linerate-")
        self.addCleanup(folder.cleanup)
        self.capture, self.source = Path(folder.name) / "capture", Path(folder.name) / "source"
        linerate.testers.write_pcap(self.source, SIZE, linerate.mac("a", "in"), linerate.mac("a", "host"),
                                    ["10.1.0.2", "10.2.0.2"])

    def frames_of_a_run(self, daemons, stage, counted=lambda first, last: None):
        """What the sink received. `counted` asks the daemons how many were sealed by the first and opened by the last."""
        with bench_of("--daemons", str(daemons), "--stage", stage, capture=self.capture) as bench:
            row = bench.run(0.4, LOOKUPS)
            numbers = counted(bench.daemons[0], bench.daemons[-1])
        found = frames(self.capture)
        self.assertGreater(row["received"], 0, row)
        self.assertEqual(row["received"], len(found), row)
        self.assertEqual(row["sent"] - row["received"], sum(row["drops"].values()), row)
        if numbers:
            self.assertEqual(sorted([*numbers, row["received"]], reverse=True), [*numbers, row["received"]])
        return found

    def test_1_macsec_on_the_wire(self):
        sealed = self.frames_of_a_run(1, "macsec")
        self.assertEqual({frame[12:14].hex() for frame in sealed}, {"88e5"})
        self.assertEqual({frame[14] >> 2 & 3 for frame in sealed}, {3}, "encrypted and changed")
        numbers = [int.from_bytes(frame[16:20], "big") for frame in sealed]
        self.assertEqual(numbers, sorted(set(numbers)), "packet numbers rise")
        for plain in frames(self.source):
            self.assertFalse(any(plain[UDP:UDP + 24] in frame for frame in sealed), "a frame left in the clear")

    def test_2_esp_on_the_wire(self):
        sealed = self.frames_of_a_run(1, "esp")
        self.assertEqual({(frame[12:14].hex(), frame[23]) for frame in sealed}, {("0800", 50)})
        numbers = [int.from_bytes(frame[38:42], "big") for frame in sealed]
        self.assertEqual(numbers, sorted(set(numbers)), "sequence numbers rise")
        for plain in frames(self.source):
            self.assertFalse(any(plain[UDP:UDP + 24] in frame for frame in sealed), "a packet left in the clear")

    def test_3_macsec_there_and_back(self):
        def counted(first, last):
            transmit, receive = (daemon.show("secy")["secys"][0] for daemon in (first, last))
            return (transmit["transmit"]["counters"]["OutPktsEncrypted"],
                    receive["receive"]["scs"][0]["counters"]["InPktsOK"])

        self.assertEqual(set(self.frames_of_a_run(2, "macsec", counted)), set(frames(self.source)))

    def test_4_esp_there_and_back(self):
        def counted(first, last):
            return [next(sa["packets"] for sa in daemon.show("sa")["sas"] if sa["name"] == name)
                    for daemon, name in ((first, "there"), (last, "back"))]

        self.assertEqual({frame[UDP:] for frame in self.frames_of_a_run(2, "esp", counted)},
                         {frame[UDP:] for frame in frames(self.source)})

    def test_5_what_a_sink_does_not_take_is_counted(self):
        with bench_of("--daemons", "2") as bench:
            def ask(command, answer):
                """The sink stands still from its start to the next thing it is asked, so while frames are offered."""
                bench.sink.process.send_signal(signal.SIGCONT)
                found = linerate.testers.Testpmd.ask(bench.sink, command, answer)
                if command == "start":
                    bench.sink.process.send_signal(signal.SIGSTOP)
                return found

            with mock.patch.object(bench.sink, "ask", ask):
                row = bench.run(0.3)
        self.assertGreater(row["drops"].get("TxFull", 0), 0, row)
        self.assertGreater(row["received"], 0, row)
        self.assertEqual(row["sent"] - row["received"], sum(row["drops"].values()), row)

    def test_6_sigterm_takes_it_down(self):
        run = subprocess.Popen([TOP / "perf" / "linerate" / "run", "--sizes", "64", "--seconds", "60"], text=True,
                               stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        prefix = f"lr{run.pid % 100000}"

        def left():
            return [line for command in (["ip", "netns", "list"], ["ps", "-eo", "args"])
                    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
                    if prefix in line]

        wait_until(lambda: len(left()) > 3, 60, "a namespace, a daemon and two testpmd")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(60), 130)
        self.assertIn("interrupted, and taken down", run.stderr.read())
        run.stderr.close()
        self.assertEqual(left(), [])

    def test_7_a_testpmd_that_fails_says_why(self):
        with mock.patch.dict(os.environ, PATH="/nonexistent"), self.assertRaisesRegex(RuntimeError, "dpdk-dev"):
            linerate.testers.Sink(None, "net_null0", [])
        with linerate.LineLab("lr") as lab:
            with self.assertRaisesRegex(RuntimeError, r"(?s)as sink ended with 1; .*net_nonsense"):
                linerate.testers.Sink(lab, "net_nonsense0", [])

    def test_8_devices_of_a_line_that_runs_already(self):
        with linerate.LineLab("ld") as lab:
            namespace = lab.namespace("box")
            ports = [linerate.memif(number, lab.folder, name, "server", linerate.mac("a", name))
                     for number, name in enumerate(("in", "out"))]
            daemon = linerate.start_daemon(lab, namespace, "esp", "a", *ports)
            devices = [linerate.memif(0, lab.folder, name, "client") for name in ("in", "out")]
            words = [TOP / "perf" / "linerate" / "run", "--sizes", str(SIZE), "--seconds", "0.4", "--lookups", str(LOOKUPS),
                     "--devices", *devices]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            row = [int(word) for word in done.stdout.splitlines()[-1].split()[:4]]
            self.assertEqual((SIZE, row[1], 0), (row[0], row[2], row[3]), done.stdout)
            self.assertGreater(row[1], 0)
            self.assertEqual(row[2], next(sa["packets"] for sa in daemon.show("sa")["sas"] if sa["name"] == "there"))
            # To another port's address nothing goes through, so the frames are as asked for.
            done = subprocess.run([*words, "--mac", "02:00:00:00:00:99"], capture_output=True, text=True, check=False)
            row = [int(word) for word in done.stdout.splitlines()[-1].split()[:4]]
            self.assertEqual((0, 0), (row[2], row[1] - row[3]), done.stdout)
            self.assertEqual(row[1], next(drop["packets"] for drop in daemon.show("drops")["drops"]
                                          if drop["reason"] == "NotForUs"))

    def test_9_only_named_cards_are_touched(self):
        seen = []

        class Started(Exception):
            pass

        def popen(command, **_):
            seen.append(command)
            raise Started

        with mock.patch("subprocess.Popen", popen), linerate.LineLab("lr") as lab:
            for device in ("0000:81:00.1", "81:00.1", "net_null0,no-rx=1"):
                with self.assertRaises(Started):
                    linerate.testers.Sink(lab, device, [4, 5])
        for command, device in zip(seen, ("0000:81:00.1", "81:00.1")):
            self.assertEqual([device], [after for word, after in zip(command, command[1:]) if word == "-a"])
            self.assertNotIn("--no-huge", command)
            self.assertIn("--huge-unlink", command)
            self.assertEqual("0@4,1@5", command[command.index("--lcores") + 1])
        self.assertNotIn("-a", seen[2])
        self.assertIn("--no-pci", seen[2])

    def test_what_does_not_go_together_is_refused(self):
        for words, message in ((["--rate", "50"], "--lookups"), (["--generator", "pktgen", "--lookups", "5"], "--rate"),
                               (["--generator", "pktgen", "--rate", "200"], "0.01 to 100"), (["--mac", "1:2"], "no address"),
                               (["--sizes", "9000"], "from 64 to 1518")):
            done = subprocess.run([TOP / "perf" / "linerate" / "run", *words], capture_output=True, text=True, check=False)
            self.assertEqual(2, done.returncode, words)
            self.assertIn(message, done.stderr.splitlines()[-1])

    def test_a_pktgen_that_is_missing_is_told(self):
        with mock.patch.dict(os.environ, PATH="/nonexistent"), self.assertRaisesRegex(RuntimeError, "docs/benchmarking.md"):
            linerate.testers.Pktgen(None, "net_null0", "", [], 0)


@unittest.skipUnless(shutil.which("pktgen"), "pktgen is not installed: Debian does not have it (docs/benchmarking.md)")
class WithPktgen(unittest.TestCase):
    def test_its_rate_holds_and_nothing_is_lost(self):
        for stage, daemons in (("macsec", 1), ("esp", 2)):
            with self.subTest(stage=stage), bench_of("--generator", "pktgen", "--stage", stage, "--daemons", str(daemons)) as bench:
                row = bench.run(1, 9990)  # 0.1 % of 10 Gbit/s
            self.assertEqual((0, row["sent"]), (row["lost"], row["received"]), row)
            self.assertLess(abs(row["sent"] / row["seconds"] / (1e7 / 8 / (SIZE + 20)) - 1), 0.15, row)

    def test_what_it_cannot_send_is_lost(self):
        with bench_of("--generator", "pktgen") as bench:
            row = bench.run(0.5)
        self.assertEqual(row["sent"] - row["received"], sum(row["drops"].values()), row)


MOST = 1 << 16


def device(limit, offered=lambda brake: 2 / (1 + brake / 100)):
    """A trial of something that carries `limit` Mpps; the brakes tried are kept."""
    def trial(brake):
        trial.brakes.append(brake)
        rate = offered(brake)
        return {"brake": brake, "mpps": min(rate, limit), "lost": max(0, int(1e6 * (rate - limit)))}

    trial.brakes = []
    return trial


class Search(unittest.TestCase):
    def test_it_finds_what_a_device_carries(self):
        for limit in (1.9, 1.0, 0.3, 0.01):
            trial = device(limit)
            held, lost = linerate.zero_loss(trial, MOST)
            self.assertEqual(held["lost"], 0)
            self.assertGreater(lost["lost"], 0)
            self.assertLess(lost["brake"], held["brake"])
            self.assertGreater(held["mpps"], 0.97 * limit)
            self.assertEqual(trial.brakes.count(held["brake"]), 2, "held twice")
            self.assertLess(len(trial.brakes), 40)

    def test_a_device_faster_than_the_generator(self):
        trial = device(3)
        held, lost = linerate.zero_loss(trial, MOST)
        self.assertEqual((held["brake"], lost, trial.brakes), (0, None, [0, 0]))

    def test_rates_of_a_generator_that_has_them(self):
        trial = device(0.3, lambda brake: 2 * (1 - brake / 10_000))
        held, lost = linerate.zero_loss(trial, 9999)
        self.assertEqual((0, True), (held["lost"], lost["lost"] > 0))
        self.assertGreater(held["mpps"], 0.3 - 2 * 0.02)
        self.assertLess(len(trial.brakes), 20)

    def test_a_device_that_carries_nothing(self):
        held, lost = linerate.zero_loss(device(0), MOST)
        self.assertIsNone(held)
        self.assertGreater(lost["lost"], 0)

    def test_what_does_not_hold_twice_does_not_hold(self):
        steady = device(1)

        def trial(brake):
            row = steady(brake)
            if brake < 300 and steady.brakes.count(brake) == 2:
                row["lost"] = 1
            return row

        held, lost = linerate.zero_loss(trial, MOST)
        self.assertGreaterEqual(held["brake"], 300)
        self.assertLess(held["brake"], 310)
        self.assertEqual(lost["lost"], 1)

    def test_two_generators_one_after_the_other(self):
        with bench_of() as bench:
            held, lost = linerate.zero_loss(lambda brake: bench.run(0.1, 5 * LOOKUPS + brake), MOST)
        self.assertIsNone(lost)
        self.assertEqual((held["lost"], held["received"]), (0, held["offered"]))
        self.assertGreater(held["offered"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
