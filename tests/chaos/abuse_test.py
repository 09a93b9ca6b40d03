#!/usr/bin/python3
"""Storms of reloads, an abused API and broken state: traffic is not disturbed, and what cannot work is refused."""

import json
import os
import shutil
import socket
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sites import Pair, PairTest, labs  # noqa: E402
from traffic import Observer, Stream, assert_numbers_used_once  # noqa: E402

NEW_ESP = "c4f0a1b2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2"
NEW_SAK = '1: {key: "%s", salt: "202122232425262728292a2b", ssci: 1}' % ("5a4b3c2d1e0f" + "a7" * 26)
RATE = 200  # packets a second each way: what a port's ring keeps lasts for seconds, however busy the machine


class Abuse(PairTest):
    def undisturbed(self, disturb, **observed):
        """Runs `disturb` under traffic both ways that must arrive wholly and in order."""
        observer = Observer(self.lab, **observed)
        streams = {site: Stream(self.lab, site, RATE) for site in "ab"}
        time.sleep(0.3)
        disturb()
        time.sleep(0.3)
        told = {site: stream.finish() for site, stream in streams.items()}
        wire = observer.finish()
        for site in "ab":
            self.assertGreater(told[site]["received"], 50)
            self.assertEqual([told[site][k] for k in ("lost", "late", "repeated", "foreign")], [0] * 4,
                             (told, self.lab.drops("a"), self.lab.drops("b")))
            assert_numbers_used_once(self, wire[site])
        return wire

    def test_01_a_storm_of_reloads_that_alternate_sas_loses_nothing(self):
        lab = self.lab
        a, b = lab.daemons["a"], lab.daemons["b"]
        first, there = a.config.read_text(), b.config.read_text()

        # Site b receives with the old and the new keys on both stages; site a has the old or the new.
        def part(text, start, stop):
            begin = text.index(start)
            return text[begin:text.index(stop, begin)]

        inbound = part(there, "        a-to-b:", "      policies:")
        key = inbound.split('key: "')[1].split('"')[0]
        spare = inbound.replace("a-to-b:", "a-to-b-2:").replace("0x1001", "0x2001").replace(key, NEW_ESP)
        both = there.replace(inbound, inbound + spare).replace("inbound-sa: a-to-b", "inbound-sa: [a-to-b, a-to-b-2]")
        head, tail = both.split("      rx:", 1)
        both = head + "      rx:" + tail.replace("          sas:\n", f"          sas:\n            {NEW_SAK}\n", 1)
        second = (first.replace("a-to-b:", "a-to-b-2:").replace("0x1001", "0x2001").replace(key, NEW_ESP)
                  .replace("sa: a-to-b\n", "sa: a-to-b-2\n"))
        head, tail = second.split("      tx:", 1)
        rx = tail.split("      rx:", 1)[1]
        second = head + f"      tx:\n        encoding-sa: 1\n        sas:\n          {NEW_SAK}\n      rx:" + rx
        b.config.write_text(both)
        b.cli("reload")

        def storm():
            for number in range(100):
                a.config.write_text(first if number % 2 else second)
                self.assertIn("changed", a.cli("reload").stdout)

        wire = self.undisturbed(storm, further={"a": NEW_SAK})
        self.assertEqual({s.an for s in wire["a"]}, {0, 1})
        self.assertEqual({s.spi for s in wire["a"]} - {None}, {0x1001, 0x2001})
        self.assertGreater(sum(x.spi != y.spi for x, y in zip(wire["a"], wire["a"][1:])), 50, "changes on the wire")
        b.config.write_text(there)
        b.cli("reload")
        self.assertEqual(len(a.show("sa")["sas"]), 2)

    def test_02_a_storm_of_bad_files_changes_nothing(self):
        daemon = self.lab.daemons["a"]
        good = daemon.config.read_text()
        bad = [
            ("", 2), ("{", 2), ("\0\1\2", 2), (good[:len(good) // 2], 2),
            (good.replace("spi: 0x1001", "spi: 5"), 2),
            (good.replace("stages: [esp, macsec]", "stages: [esp]").replace("lab: true", "lab: maybe"), 2),
            (good.replace("encoding-sa: 0", "encoding-sa: 3"), 2),
            (good.replace("mtu: 1500", "mtu: 1400"), 4),
        ]

        def picture():
            sas = [(s["name"], s["spi"], s["state"], s["age_seconds"] >= age) for s in daemon.show("sa")["sas"]]
            secy = daemon.show("secy")["secys"][0]
            return sas, [(s["an"], s["state"]) for s in secy["transmit"]["sas"]]

        age = min(s["age_seconds"] for s in daemon.show("sa")["sas"])
        before = picture()

        def storm():
            for number in range(32):
                text, code = bad[number % len(bad)]
                self.assertNotEqual(text, good)
                daemon.config.write_text(text)
                result = daemon.cli("reload", check=False)
                self.assertEqual(result.returncode, code, (text, result.stderr))
                self.assertIn("SW-", result.stderr)

        self.undisturbed(storm)
        self.assertEqual(picture(), before)
        daemon.config.write_text(good)
        self.assertIn("nothing changed", daemon.cli("reload").stdout)

    def test_03_abuse_of_the_api_does_not_disturb(self):
        daemon = self.lab.daemons["a"]

        def connect():
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(daemon.socket))  # waits where many are ahead
            client.settimeout(10)
            return client

        def abuse():
            before = daemon.resident()
            held = []
            for data in (b"\0" * 1000 + b"\n", os.urandom(2000).replace(b"\n", b"") + b"\n", b"[" * 100000 + b"\n",
                         b"{}\n", b"null\n", b'{"version": 9, "method": "show.lines"}\n',
                         b'{"version": 1, "id": 1, "method": "sa.add", "params": {"line": 7, "sas": [[[]]]}}\n',
                         b'{"version": 1, "id": 1, "method": "sa.remove", "params": []}\n'):
                with connect() as client:
                    client.sendall(data)
                    self.assertIn("SW-", json.loads(client.makefile().readline())["error"]["id"])
            with connect() as client:  # a line without end
                try:
                    for _ in range(80):
                        client.sendall(b"x" * (64 << 10))
                    self.assertIn(b"SW-API", client.recv(4096))
                except (BrokenPipeError, ConnectionResetError):
                    pass
            slow = connect()  # asks and never reads
            slow.settimeout(0.2)
            try:
                for _ in range(3000):
                    slow.sendall(b'{"version": 1, "id": 1, "method": "show.secy"}\n')
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                pass  # kept waiting, or thrown out
            self.assertEqual(daemon.cli("show", "lines").returncode, 0)
            for number in range(200):
                client = connect()
                held.append(client)
                try:
                    client.sendall(b'{"version": 1, "id": 1, "meth'[:number % 28])
                except (BrokenPipeError, ConnectionResetError):
                    pass  # more than the daemon serves at once are turned away
            self.assertLess(daemon.resident() - before, 96 << 20)
            for client in [*held, slow]:
                client.close()
            for _ in range(100):  # gone before the answer
                with connect() as client:
                    try:
                        client.sendall(b'{"version": 1, "id": 1, "method": "show.lines"}\n')
                    except (BrokenPipeError, ConnectionResetError):
                        pass
            labs.wait_until(lambda: daemon.cli("show", "lines", check=False).returncode == 0, 10, "the API")

        self.undisturbed(abuse)
        labs.wait_until(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 100, 10, "closed connections")


class State(unittest.TestCase):
    def test_state_that_is_missing_or_broken_refuses_to_start(self):
        with Pair() as lab:
            daemon = lab.daemons["a"]
            lab.ping()
            self.assertEqual(daemon.stop(), 0)
            kept = lab.folder / "kept"
            shutil.copytree(daemon.state, kept)
            whole = (kept / "numbers").read_bytes()
            middle = len(whole) // 2
            flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:]
            lines = whole.splitlines(keepends=True)
            broken = {
                "empty": b"", "torn at the end": whole[:-1], "torn in the middle": whole[:middle],
                "a bit flipped": flipped, "a line gone": b"".join(lines[:-1]), "nulls at the end": whole + b"\0" * 64,
                "another line": whole + lines[-1], "noise": os.urandom(200), "missing": None,
            }

            def refused(what):
                result = labs.run("ip", "netns", "exec", lab.boxes["a"], labs.build_dir() / "sealwired", "-c",
                                  daemon.config, check=False, timeout=60)
                self.assertEqual(result.returncode, 1, (what, result.stderr))
                self.assertRegex(result.stderr, r"SW-STA-00[124]", what)
                self.assertIn("sealwire state init", result.stderr, what)

            for what, content in broken.items():
                with self.subTest(what):
                    file = daemon.state / "numbers"
                    file.unlink() if content is None else file.write_bytes(content)
                    refused(what)
                    file.write_bytes(whole)
            shutil.rmtree(daemon.state)
            refused("no directory")
            shutil.copytree(kept, daemon.state)
            daemon.start()
            lab.wait_for_traffic()


if __name__ == "__main__":
    unittest.main()
