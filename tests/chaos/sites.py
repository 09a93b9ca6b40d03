"""The two sites that the chaos and soak tests run: the gateways of the example configuration, in namespaces."""

import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))
import lab as labs  # noqa: E402
from gateway_test import Sites  # noqa: E402
from traffic import Stream  # noqa: E402


class PairTest(unittest.TestCase):
    """Tests that share one Pair as `self.lab`."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Pair()

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()


class Pair(Sites):
    """Both daemons run, their neighbours are resolved, and the hosts never forget theirs."""

    def __init__(self):
        super().__init__()
        try:
            for number, site in enumerate("ab", 1):
                self.enter(self.hosts[site], "ip", "neigh", "replace", f"10.{number}.0.1", "lladdr",
                           f"02:00:00:00:0{number}:01", "dev", "eth0", "nud", "permanent")
            self.wait_for_traffic()
        except BaseException:
            self.close()
            raise

    def wait_for_traffic(self, timeout=20):
        """Until a ping passes; returns the seconds that it took."""
        begin = time.monotonic()
        labs.wait_until(lambda: self.ping(count=1, check=False).returncode == 0, timeout, "traffic")
        return time.monotonic() - begin

    def assert_all_passes(self, case, seconds=0.7):
        """Both ways, every packet, in order."""
        streams = [Stream(self, site) for site in "ab"]
        time.sleep(seconds)
        for stream in streams:
            told = stream.finish()
            case.assertGreater(told["sent"], 20)
            case.assertEqual((told["lost"], told["late"], told["repeated"], told["foreign"]), (0, 0, 0, 0), told)
