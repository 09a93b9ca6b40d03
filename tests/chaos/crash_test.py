#!/usr/bin/python3
"""Daemons killed, stopped and cut off while traffic flows: no number twice, nothing in clear, and it goes on after."""

import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sites import Pair, labs  # noqa: E402
from traffic import Observer, Stream, assert_numbers_used_once  # noqa: E402


class Crash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Pair()

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

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


if __name__ == "__main__":
    unittest.main()
