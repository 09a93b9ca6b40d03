#!/usr/bin/python3
"""Hours in short: two sites of [esp, macsec] under numbered traffic while SAs are replaced over the API, files are
reloaded and everything is looked at, all the time. Nothing is lost, nothing grows, and all counts add up.

usage: soak_test.py [SECONDS]   50 by default; the first 35 fill what lingers, and memory is watched from then on
"""

import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sites import PairTest, labs  # noqa: E402
from traffic import Observer, Stream, assert_numbers_used_once  # noqa: E402

RATE = 300  # packets a second each way
LINGER = 30  # seconds that a replaced inbound SA still opens what is on its way
seconds = 50.0


class Soak(PairTest):
    def resident(self):
        return {site: daemon.resident() for site, daemon in self.lab.daemons.items()}

    def buffers(self):
        return {(site, port["name"]): port["buffers_free"]
                for site, daemon in self.lab.daemons.items() for port in daemon.show("ports")["ports"]}

    def frames(self):
        """What each end has counted of the frames between the sites."""
        figures = {}
        for site, daemon in self.lab.daemons.items():
            line, secy = daemon.show("lines")["lines"][0], daemon.show("secy")["secys"][0]
            figures[site] = {"sent": secy["transmit"]["counters"]["OutPktsEncrypted"],
                             "received": line["ingress"]["rx_packets"],
                             "opened": secy["receive"]["scs"][0]["counters"]["InPktsOK"]}
        return figures

    def replace(self, spi):
        """A fresh key for what site a sends: first where it is received."""
        common = f"spi: {spi:#x}, algorithm: aes-gcm-256, esn: true, key: '{os.urandom(36).hex()}'"
        ends = "source: 192.0.2.1, destination: 192.0.2.2"
        self.lab.daemons["b"].cli("sa", "replace", "site-b",
                                  self.lab.items(f"a-to-b: {{direction: in, {common}, {ends}, replay-window: 1024}}\n"))
        self.lab.daemons["a"].cli("sa", "replace", "site-a",
                                  self.lab.items(f"a-to-b: {{direction: out, {common}, {ends}}}\n"))

    def test_nothing_is_lost_and_nothing_grows(self):
        lab = self.lab
        idle, before = self.buffers(), self.frames()
        observer = Observer(lab)
        streams = {site: Stream(lab, site, RATE) for site in "ab"}
        begin = time.monotonic()
        end = begin + seconds
        replaced, lingering, settled = 0, 0, None
        while time.monotonic() < end:
            replaced += 1
            self.replace(0x2000 + replaced)
            if replaced % 4 == 0:  # the file is still the first one: its own SA comes back
                for site in "ba":
                    self.assertIn("a-to-b: replaced", lab.daemons[site].cli("reload").stdout)
            for daemon in lab.daemons.values():
                for view in ("lines", "secy", "drops", "cores"):
                    daemon.show(view)
            states = [sa["state"] for sa in lab.daemons["b"].show("sa")["sas"]]
            lingering = max(lingering, states.count("retiring"))
            if settled is None and time.monotonic() > begin + LINGER + 5:
                settled = self.resident()
            time.sleep(0.2)
        grown = {site: now - settled[site] for site, now in self.resident().items()}
        told = {site: stream.finish() for site, stream in streams.items()}
        wire = observer.finish()
        print(f"{seconds:.0f} s, {replaced} SAs and {replaced // 4} reloads, at most {lingering} lingering; "
              f"{told['a']['sent'] + told['b']['sent']} packets; grown by {grown}", flush=True)

        for site in "ab":
            self.assertGreater(told[site]["received"], RATE * seconds * 0.5)
            self.assertEqual([told[site][k] for k in ("lost", "late", "repeated", "foreign")], [0] * 4,
                             (told, lab.drops("a"), lab.drops("b")))
            assert_numbers_used_once(self, wire[site])
        spis = {packet.spi for packet in wire["a"]}
        self.assertGreater(len(spis), replaced * 0.9)

        # What one end sent the other received and opened: no frame went uncounted.
        def equal():
            after = self.frames()
            return all(after[site]["sent"] - before[site]["sent"] == after[peer][how] - before[peer][how]
                       for site, peer in ("ab", "ba") for how in ("received", "opened"))

        labs.wait_until(equal, 10, f"the ends count alike: before {before}, now {self.frames()}")
        # Old SAs went when their time was over, and with them their memory.
        self.assertLessEqual(lingering, replaced * min(1.0, (LINGER + 2) / seconds) + 4)
        for site in "ab":
            if b"__asan_init" not in (labs.build_dir() / "sealwired").read_bytes():  # it keeps what was freed
                self.assertLess(grown[site], 300 << 10)
        left = {port: free - idle[port] for port, free in self.buffers().items()}
        for port, difference in left.items():
            self.assertGreater(difference, -64, f"buffers of {port} did not come back: {left}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        seconds = float(sys.argv.pop(1))
    unittest.main()
