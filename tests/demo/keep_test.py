#!/usr/bin/python3
"""`./dev demo --keep`: what it says to type works, and SIGTERM takes everything down."""

import glob
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "netns"))
from lab import run  # noqa: E402


def left(process):
    """What a demo has made: its namespaces, its folder, and the daemons and captures that run there."""
    prefix = f"sw{process.pid % 100000}-"
    return (re.findall(rf"^{prefix}\S+", run("ip", "netns", "list").stdout, re.M) +
            glob.glob(f"/tmp/sealwire-{prefix}*") +
            run("pgrep", "-f", f"/sealwire-{prefix}", check=False).stdout.split())


class Keep(unittest.TestCase):
    def start(self, *arguments):
        demo = subprocess.Popen([HERE / "demo.py", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(demo.communicate)
        self.addCleanup(demo.terminate)
        return demo

    def said(self, demo, until):
        """What it says up to the line with `until` in it."""
        lines = []
        for line in demo.stdout:
            lines.append(line.strip())
            if until in line:
                return lines
        self.fail(demo.stderr.read())

    def test_the_hints_work_and_sigterm_takes_it_down(self):
        demo = self.start("--keep")
        hints = self.said(demo, "Press Ctrl-C")
        ping = next(line for line in hints if " ping " in line)
        self.assertIn(" 0% packet loss", run(*ping.split(), "-c", "5", "-i", "0.1").stdout)
        reload = next(line for line in hints if line.endswith(" reload")).split("; ")[1]
        self.assertIn("nothing", run(*reload.split(), cwd=HERE.parents[1]).stdout)
        self.assertEqual(len(left(demo)), 7)
        demo.send_signal(signal.SIGTERM)
        demo.send_signal(signal.SIGTERM)
        self.assertEqual(demo.wait(30), 0)
        self.assertEqual(left(demo), [])

    def test_interrupted_amid_its_traffic(self):
        demo = self.start()
        self.said(demo, "traffic from site A")
        demo.send_signal(signal.SIGTERM)
        self.assertEqual(demo.wait(30), 1)
        self.assertEqual(demo.stderr.read(), "demo: interrupted, and taken down\n")
        self.assertEqual(left(demo), [])


if __name__ == "__main__":
    unittest.main()
