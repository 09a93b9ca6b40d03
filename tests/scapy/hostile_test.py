#!/usr/bin/python3
"""Frames of any kind that nobody should send, at running daemons: none comes out, each is counted, nothing crashes."""

import random
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import esp_test as esp  # noqa: E402
from box import SEED, Box, Line, key  # noqa: E402
from macsec_codec import Channel  # noqa: E402

SAK = {"tx": key("hostile tx", 16), "rx": key("hostile rx", 16)}
PEER_SCI = 0x0200000002020001
WIRE_MACSEC = f"""macsec:
  suite: gcm-aes-128
  vlan-in-clear: %d
  sci: "02:00:00:00:0%d:02/1"
  tx: {{encoding-sa: 0, sas: {{0: {{key: "%s"}}}}}}
  rx: {{peer: {{sci: "02:00:00:00:02:02/1", sas: {{0: {{key: "%s"}}}}}}}}
"""
ADDRESSES = bytes.fromhex("020000000102" "020000000202")
ETHER_TYPES = (0, 1, 46, 0x5DC, 0x5FF, 0x600, 0x0800, 0x0806, 0x0842, 0x22F3, 0x6003, 0x8035, 0x809B, 0x8100, 0x8137,
               0x86DD, 0x8808, 0x8809, 0x8847, 0x8848, 0x8863, 0x8864, 0x887B, 0x888E, 0x88A2, 0x88A8, 0x88B8, 0x88CC,
               0x88E1, 0x88E3, 0x88E5, 0x88E7, 0x88F7, 0x8902, 0x8906, 0x8914, 0x8915, 0x891D, 0x893A, 0x9000, 0x9100,
               0xF1C1, 0xFFFF)


def cut(frame):
    """A frame at every length it can have been cut to."""
    return [frame[:length] for length in range(1, len(frame))]


def flipped(frame, start=0):
    """A frame with each octet changed in one bit and in all."""
    return [frame[:at] + bytes((frame[at] ^ bits,)) + frame[at + 1 :]
            for at in range(start, len(frame)) for bits in (1 << at % 8, 0xFF)]


def noise(source, count, largest=400):
    """Random octets behind good addresses, half of them behind an EtherType that is looked into."""
    frames = []
    for number in range(count):
        head = ADDRESSES if number % 3 else source.randbytes(12)
        if number % 2:
            head += struct.pack("!H", source.choice((0x88E5, 0x0800, 0x86DD, 0x8100, 0x88A8, 0x0806, 0x888E)))
        frames.append(head + source.randbytes(source.randrange(0, largest)))
    return frames


class Hostile(unittest.TestCase):
    def finish(self, line):
        """Every frame is accounted for: what was taken either left or has a reason."""
        for way, sent in (("egress", line.inside), ("ingress", line.outside)):
            flow = line.flow[way]
            self.assertEqual(flow["rx_packets"], len(sent), way)
            self.assertEqual(sum(line.drops[way].values()), len(sent), (way, line.drops[way]))
            self.assertNotIn("CryptoError", line.drops[way])
            self.assertNotIn("NoBuffer", line.drops[way])

    def test_a_wire_from_outside(self):
        source = random.Random(SEED)
        channel = Channel("gcm-aes-128", PEER_SCI, 0, SAK["rx"])
        frame = ADDRESSES + b"\x08\x00" + source.randbytes(70)
        good, short = channel.seal(frame, 1), channel.seal(frame[:30], 1)
        tagged = channel.seal(ADDRESSES + b"\x81\x00\x00\x05\x08\x00" + source.randbytes(70), 1)
        hostile = cut(good) + cut(short) + cut(tagged) + flipped(good, 0) + flipped(short, 0) + flipped(tagged, 0)
        # Octet 14 and 15 in every value: TCI, AN and SL.
        hostile += [good[:14] + bytes((tci, good[15])) + good[16:] for tci in range(256) if tci != good[14]]
        hostile += [short[:14] + bytes((short[14], sl)) + short[16:] for sl in range(256) if sl != short[15]]
        hostile += [good[:12] + b"\x81\x00\x00\x07" * depth + good[12:] for depth in range(1, 40)]
        hostile += noise(source, 2000)
        every = [ADDRESSES + struct.pack("!H", kind) + bytes(46) for kind in range(0x10000)]
        box = Box()
        lines = []
        for number, (tags, frames) in enumerate(((0, hostile), (2, hostile), (0, every))):
            text = WIRE_MACSEC % (tags, number + 4, key(f"hostile tx {number}", 16).hex(),
                                  (SAK["rx"] if number == 0 else key(f"hostile rx {number}", 16)).hex())
            lines.append(box.add(Line(f"wire{number}", "macsec", text, outside=frames,
                                      outside_mac=f"02:00:00:00:0{number + 4}:02")))
        # In the end the good frame is as good as ever.
        lines[0].outside.append(good)
        box.run()
        self.assertEqual([f.hex() for f in lines[0].delivered], [frame.hex()])
        self.assertNotIn("InPktsLate", lines[0].drops["ingress"], "a hostile frame has moved lowestPN")
        lines[0].outside.pop()
        lines[0].flow["ingress"]["rx_packets"] -= 1
        for line in lines:
            with self.subTest(line.name):
                self.assertEqual(line.sealed, [])
                if line is not lines[0]:
                    self.assertEqual(line.delivered, [])
                self.finish(line)
        # Of all EtherTypes only these are looked at: PAUSE ends here, EAPOL is the KaY's, the SecTAG of zeroes and
        # tagged frames of type 0 are refused.
        self.assertEqual(lines[2].drops["ingress"],
                         {"PauseConsumed": 1, "Punted": 1, "InPktsBadTag": 1, "InPktsNoTag": 0x10000 - 3})

    def test_gateways_from_both_sides(self):
        source = random.Random(SEED + 1)
        tunnels = [esp.Tunnel(number, *kind) for number, kind in enumerate((
            ("aes-gcm-256", 4, False, True), ("aes-cbc-128-hmac-sha256-128", 6, False, False),
            ("chacha20-poly1305", 4, True, False), ("aes-gmac-128", 6, True, True),
            ("null-hmac-sha1-96", 4, False, False)))]
        hostile, last = [], []
        for tunnel in tunnels:
            inner = tunnel.inner(4, 30, outward=False)
            good = tunnel.outer(tunnel.into.seal(inner, 1))
            last.append((tunnel, inner, good))
            hostile += cut(good)
            start = len(good) - len(tunnel.into.seal(inner, 1))
            hostile += flipped(good, start)  # from the SPI on; the outer header's reserved bits are nobody's business
            hostile += [good[:12] + bytes((good[12] ^ high, good[13] ^ low)) + good[14:]
                        for high, low in ((1, 0), (0, 1), (0x80, 0x80))]
            if tunnel.into.gmac:  # authentic, and nonsense inside; scapy would not even build it
                hostile += [good[:start] + tunnel.into.seal(data, 2 + number) for number, data in enumerate(
                    (inner[:1], inner[:19], inner[:2] + b"\xff" + inner[3:], b"\x44" + inner[1:],
                     b"\x4f" + inner[1:21], b"\x60" + inner[1:], inner[:10] + b"\0\0" + inner[12:]))]
        hostile += [ADDRESSES + struct.pack("!H", kind) + source.randbytes(60) for kind in ETHER_TYPES
                    if kind != 0x8808]
        hostile += noise(source, 2000)
        inside = [frame for frame in cut(esp.ether(esp.LAN_MAC, esp.HOST_MAC, tunnels[0].inner(4, 40, outward=True)))]
        inside += cut(esp.ether(esp.LAN_MAC, esp.HOST_MAC, tunnels[0].inner(6, 40, outward=True)))
        to_lan = bytes.fromhex(esp.LAN_MAC.replace(":", ""))
        inside += [to_lan + frame[6:] for frame in noise(source, 2000) if len(frame) > 6]
        box = Box()
        line = box.add(Line("gw", "esp", esp.settings(tunnels), inside, hostile))
        box.run()
        self.assertEqual([f.hex() for f in line.delivered if not esp.announces(f)], [])
        self.assertEqual([f.hex() for f in line.sealed if not esp.announces(f)], [])
        self.finish(line)


if __name__ == "__main__":
    unittest.main()
