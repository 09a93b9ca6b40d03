#!/usr/bin/python3
"""A receiver that stands still: what does not fit into the ring is counted, and nothing is sent late."""

import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sites import labs  # noqa: E402


class FullRing(unittest.TestCase):
    def test_a_receiver_that_stands_still_is_counted_as_tx_full(self):
        """Nothing that did not fit is sent later: the peer's strict replay check sees numbers that only rise."""
        keys = {"a": "f37b537329257b2260900b59e730fd85", "b": "5766c48190c001034ead59b7917601d7"}
        with labs.Lab("cf") as lab:
            box = lab.namespace("box")
            sites = {"a": ("net_null0,size=256", "server"), "b": ("net_ring0", "client")}
            daemons = {}
            for site, (inside, role) in sites.items():
                peer = "b" if site == "a" else "a"
                daemons[site] = lab.daemon(box, site, f"""
sealwire: 1
lab: true
system: {{workers: 1, api-socket: "{{folder}}/{site}.sock", state-directory: "{{folder}}/{site}.state"}}
ports:
  in: {{device: "{inside}", mtu: 1500}}
  out: {{device: "net_memif0,role={role},socket-abstract=no,socket={{folder}}/memif", mtu: 1532}}
lines:
  wire:
    stages: [macsec]
    inside: [in]
    outside: [out]
    macsec:
      sci: "02:00:00:00:00:0{site}/1"
      replay-window: 0
      tx: {{sas: {{0: {{key: {keys[site]}}}}}}}
      rx: {{far-end: {{sci: "02:00:00:00:00:0{peer}/1", sas: {{0: {{key: {keys[peer]}}}}}}}}}
""")
            a, b = daemons["a"], daemons["b"]

            def received():
                return b.show("secy")["secys"][0]["receive"]["scs"][0]["counters"]

            def full():
                return sum(d["packets"] for d in a.show("drops")["drops"]
                           if d["reason"] == "TxFull" and d["direction"] == "egress")

            labs.wait_until(lambda: received()["InPktsOK"] > 1000, 20, "frames from a")
            b.process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            before = full()
            time.sleep(0.5)
            self.assertGreater(full(), before + 1000)
            b.process.send_signal(signal.SIGCONT)
            taken = received()["InPktsOK"]
            labs.wait_until(lambda: received()["InPktsOK"] > taken + 1000, 20, "frames after the stop")
            counters = received()
            for name in ("InPktsLate", "InPktsDelayed", "InPktsNotValid", "InPktsInvalid", "InPktsDuplicate"):
                self.assertEqual(counters[name], 0, counters)
            # DPDK's memif driver writes on into the memory of a peer that leaves amid traffic: neither sees the other go.
            for daemon in (a, b):
                daemon.process.send_signal(signal.SIGSTOP)
            for daemon in (a, b):
                daemon.process.kill()


if __name__ == "__main__":
    unittest.main()
