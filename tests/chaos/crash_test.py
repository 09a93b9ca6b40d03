#!/usr/bin/python3
"""Daemons killed, stopped and cut off while traffic flows: no number twice, nothing in clear, and it goes on after."""

import ctypes
import os
import re
import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sites import PairTest, labs  # noqa: E402
from traffic import Observer, Stream, assert_numbers_used_once  # noqa: E402


class Halted:
    """One worker's thread stopped by ptrace, while the process goes on."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, pid, worker):
        names = {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}
        self.thread = next(tid for tid, name in names.items() if re.fullmatch(rf".*worker-{worker + 1}", name))
        self.libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(self, request):
        if self.libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")

    def __enter__(self):
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, 0x40000000)  # __WALL
        return self

    def __exit__(self, *_):
        self.ptrace(self.DETACH)


class Crash(PairTest):
    def under_traffic(self, disturb, restarted=False):
        """Runs `disturb` under traffic both ways and with the wire observed. Tells what each stream and the wire saw,
        after the rules that hold whatever happens. A daemon that was started again first resolves its neighbours, and
        packets that it kept until then may come behind newer ones."""
        observer = Observer(self.lab)
        streams = {site: Stream(self.lab, site) for site in "ab"}
        time.sleep(0.3)
        disturb()
        told = {site: stream.finish() for site, stream in streams.items()}
        self.lab.wait_for_traffic()
        self.lab.assert_all_passes(self)
        wire = observer.finish()
        for site in "ab":
            self.assertGreater(told[site]["received"], 50, told)
            self.assertEqual((told[site]["repeated"], told[site]["foreign"]), (0, 0), told)
            if not restarted:
                self.assertEqual(told[site]["late"], 0, told)
            self.assertGreater(len(wire[site]), 100)
            assert_numbers_used_once(self, wire[site])
        return told, wire

    def test_01_kill_9_never_reuses_a_number_on_either_stage(self):
        def disturb():
            for site in "abab":
                daemon = self.lab.daemons[site]
                daemon.process.kill()
                daemon.process.wait()
                daemon.start()
                self.lab.wait_for_traffic()
                time.sleep(0.3)

        told, wire = self.under_traffic(disturb, restarted=True)
        for site in "ab":
            # Each kill left a gap in the numbers: the rest of a reserved block.
            for numbers in ([s.pn for s in wire[site]], [s.sn for s in wire[site] if s.spi is not None]):
                jumps = sum(after - before > 1000 for before, after in zip(numbers, numbers[1:]))
                self.assertEqual(jumps, 2, "blocks given up")
            self.assertLess(told[site]["highest"], told[site]["sent"])
            self.assertGreater(told[site]["highest"], told[site]["sent"] - 50, "went on to the end")

    def test_02_kill_9_while_numbers_are_being_reserved(self):
        """Killed again and again right as it comes up."""
        def disturb():
            daemon = self.lab.daemons["a"]
            for delay in (0.0, 0.01, 0.05):
                daemon.process.kill()
                daemon.process.wait()
                daemon.process = self.lab.spawn(daemon.namespace, labs.build_dir() / "sealwired", "-c", daemon.config,
                                                log=daemon.log)
                labs.wait_until(lambda: daemon.output().rstrip().endswith("ready: api " + str(daemon.socket))
                                or daemon.process.poll() is not None, 30, "ready")
                self.assertIsNone(daemon.process.poll(), daemon.output())
                time.sleep(delay)
            daemon.process.kill()
            daemon.process.wait()
            daemon.start()
            self.lab.wait_for_traffic()

        self.under_traffic(disturb, restarted=True)

    def test_03_a_daemon_that_stands_still_goes_on(self):
        def disturb():
            for site in "ab":
                process = self.lab.daemons[site].process
                process.send_signal(signal.SIGSTOP)
                time.sleep(2)
                process.send_signal(signal.SIGCONT)
                self.lab.wait_for_traffic()
                time.sleep(0.3)

        self.under_traffic(disturb)
        for site in "ab":
            self.assertEqual(self.lab.daemons[site].show("lines")["lines"][0]["state"], "up")

    def test_04_the_link_goes_down_and_comes_up(self):
        def disturb():
            for site in "aba":
                self.lab.enter(self.lab.boxes[site], "ip", "link", "set", f"sw-{site}-wan", "down")
                time.sleep(0.7)
                self.lab.enter(self.lab.boxes[site], "ip", "link", "set", f"sw-{site}-wan", "up")
                self.lab.wait_for_traffic()

        self.under_traffic(disturb)

    def test_05_without_a_daemon_nothing_passes(self):
        observer = Observer(self.lab)
        stream = Stream(self.lab, "a")
        time.sleep(0.3)
        daemon = self.lab.daemons["a"]
        daemon.process.kill()
        daemon.process.wait()
        mark = stream.finish(drain=0.5)
        self.assertGreater(mark["received"], 20)
        stream = Stream(self.lab, "a")
        time.sleep(0.5)
        told = stream.finish(drain=0.3)
        self.assertGreater(told["sent"], 50)
        self.assertEqual(told["received"], 0)
        daemon.start()
        self.lab.wait_for_traffic()
        assert_numbers_used_once(self, observer.finish()["a"])

    def test_06_a_worker_that_stands_still_is_seen_and_reorders_nothing(self):
        lab, daemon = self.lab, self.lab.daemons["a"]
        daemon.stop()
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("workers: 1", "workers: 2").replace(
            "engine: auto", "engine: auto\n    workers: {mode: in-turn, egress: 2, ingress: 2}"))
        self.assertIn("in-turn", daemon.config.read_text())
        daemon.start()
        lab.wait_for_traffic()
        self.assertEqual(len(daemon.show("cores")["cores"]), 2)

        def state():
            return ([core["state"] for core in daemon.show("cores")["cores"]], daemon.show("lines")["lines"][0]["state"])

        def disturb():
            for worker in (0, 1):
                with Halted(daemon.process.pid, worker):
                    labs.wait_until(lambda: state()[1] == "STOPPED", 5, "the line is stopped")
                    states = state()[0]
                    self.assertEqual((states[worker], states[1 - worker]), ("STALLED", "running"))
                    time.sleep(0.5)
                labs.wait_until(lambda: state() == (["running"] * 2, "up"), 5, "it goes on")
                lab.wait_for_traffic()

        told, _ = self.under_traffic(disturb)
        self.assertGreater(told["a"]["lost"], 0, "nothing passed a line that stood")
        for worker in (0, 1):
            self.assertRegex(daemon.output(), f"worker {worker} has not moved for 500 ms: its lines are stopped")
            self.assertIn(f"worker {worker} moves again", daemon.output())
        daemon.stop()
        daemon.config.write_text(text)
        daemon.start()
        lab.wait_for_traffic()


if __name__ == "__main__":
    unittest.main()
