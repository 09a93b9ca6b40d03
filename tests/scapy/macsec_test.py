#!/usr/bin/python3
"""Every MACsec mode through a running daemon, against scapy: what we seal it opens, what it seals we deliver."""

import collections
import itertools
import random
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from box import SEED, Box, Line, key, safe  # noqa: E402
from macsec_codec import Channel  # noqa: E402

SUITES = {"gcm-aes-128": 16, "gcm-aes-256": 32, "gcm-aes-xpn-128": 16, "gcm-aes-xpn-256": 32}
MODES = ("sci", "none", "es", "scb")
SERVICES = {"offset-0": (True, 0), "offset-30": (True, 30), "offset-50": (True, 50), "integrity": (False, 0)}
# Octets of Secure Data: the least there is, around SL's limit, the offsets and cipher blocks.
SIZES = (2, 3, 29, 30, 31, 32, 33, 46, 47, 48, 49, 50, 51, 52, 66, 67, 128, 500)
PEER_MAC = "02:00:00:00:02:02"
STRANGER_MAC = "02:00:00:00:03:03"
HOST_MAC = "02:00:00:00:01:77"
BOXED = 16  # lines of one daemon: DPDK has 32 ports


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


def sci_of(mac, port):
    return int.from_bytes(octets(mac) + port.to_bytes(2, "big"), "big")


def sci_text(sci):
    raw = sci.to_bytes(8, "big")
    return ":".join(f"{octet:02x}" for octet in raw[:6]) + f"/{int.from_bytes(raw[6:], 'big')}"


class Case:
    """One line: its settings, its own and its peer's channel, and the frames of both directions."""

    def __init__(self, number, suite, mode="sci", confidential=True, offset=0, vlan=0, window=0, bitmap=False,
                 start=1, label="", extra=None, mtu=1500, an=None):
        self.name = safe(f"{number}-{suite}-{mode}-{label or 'x'}-v{vlan}")
        self.suite, self.mode, self.vlan, self.window, self.bitmap = suite, mode, vlan, window, bitmap
        self.confidential, self.offset, self.start, self.mtu = confidential, offset, start, mtu
        self.an = number % 4 if an is None else an
        self.xpn = "xpn" in suite
        self.random = random.Random(SEED + number)
        port = 0 if mode == "scb" else 1
        self.own_mac = f"02:00:00:01:{number:02x}:02"  # no two SecYs of a box have the same SCI
        self.own_sci, self.peer_sci = sci_of(self.own_mac, port), sci_of(PEER_MAC, port)
        self.tx = self.channel("tx", self.own_sci, 1)
        self.rx = self.channel("rx", self.peer_sci, 2)
        self.settings = {"suite": suite, "confidentiality": str(confidential).lower(),
                         "confidentiality-offset": offset, "include-sci": str(mode == "sci").lower(),
                         "use-es": str(mode == "es").lower(), "use-scb": str(mode == "scb").lower(),
                         "replay-window": window, "duplicate-bitmap": str(bitmap).lower(), "vlan-in-clear": vlan,
                         "sci": f'"{sci_text(self.own_sci)}"', **(extra or {})}
        self.inside, self.sealed = [], []  # frames in, and what scapy should find: (frame, PN)
        self.outside, self.delivered = [], []  # frames in, and what should come out
        self.drops = {"egress": collections.Counter(), "ingress": collections.Counter()}
        self.pn = start  # next one of the peer

    def channel(self, direction, sci, ssci, **other):
        return Channel(self.suite, sci, other.pop("an", self.an), self.sak(other.pop("key_of", direction)),
                       salt=self.salt(direction), ssci=ssci,
                       **{"mode": self.mode, "confidential": self.confidential, "offset": self.offset,
                          "vlan": self.vlan, **other})

    def sak(self, direction):
        return key(f"{self.name} {direction}", SUITES[self.suite])

    def salt(self, direction):
        return key(f"{self.name} {direction} salt", 12)

    def sa_text(self, direction, ssci):
        text = f'key: "{self.sak(direction).hex()}", next-pn: {self.start}'
        if self.xpn:
            text += f', salt: "{self.salt(direction).hex()}", ssci: {ssci}'
        return f"{{{self.an}: {{{text}}}}}"

    def line(self, cleartext=False):
        text = "cleartext: allow\n" if cleartext else ""
        text += "macsec:\n" + "".join(f"  {name}: {value}\n" for name, value in self.settings.items())
        text += f"  tx: {{encoding-sa: {self.an}, sas: {self.sa_text('tx', 1)}}}\n"
        text += f'  rx: {{peer: {{sci: "{sci_text(self.peer_sci)}", sas: {self.sa_text("rx", 2)}}}}}\n'
        return Line(self.name, "macsec", text, self.inside, self.outside, mtu=self.mtu,
                    outside_mac=self.own_mac)

    def frame(self, size, source, tags=0):
        """A frame with `size` octets of EtherType and data, behind `tags` VLAN tags."""
        layer2 = octets("02:00:00:00:09:09") + octets(source)
        for tag in range(tags):
            layer2 += struct.pack("!HH", 0x88A8 if tag + 1 < tags else 0x8100, 0x2000 | 100 + tag)
        return layer2 + struct.pack("!H", 0x0800) + self.random.randbytes(size - 2)

    def send(self, size, tags=0, reason=None):
        """A frame into the inside port."""
        frame = self.frame(size, self.own_mac if self.mode == "es" else HOST_MAC, tags)
        self.inside.append(frame)
        if reason:
            self.drops["egress"][reason] += 1
        else:
            self.sealed.append((frame, self.start + len(self.inside) - 1))

    def receive(self, size, tags=0, pad=0, pn=None, arrives=True):
        """A good frame into the outside port; returns it as it was sent."""
        frame = self.frame(size, PEER_MAC, tags)
        if pn is None:
            pn = self.pn
            self.pn += 1
        self.outside.append(self.rx.seal(frame, pn, pad))
        if arrives:
            self.delivered.append(frame)
        return self.outside[-1]

    def refuse(self, frame, reason):
        """A frame into the outside port that does not come out."""
        self.outside.append(bytes(frame))
        self.drops["ingress"][reason] += 1

    def check(self, test, line):
        test.assertEqual(dict(line.drops["egress"]), dict(self.drops["egress"]))
        test.assertEqual(len(line.sealed), len(self.sealed))
        for sealed, (frame, pn) in zip(line.sealed, self.sealed):
            opened, found = self.tx.open(sealed, pn_high=pn >> 32)
            test.assertEqual(opened.hex(), frame.hex())
            test.assertEqual(found, pn)
            tags_in_clear = (sealed.index(b"\x88\xe5") - 12) // 4
            tags = sum(frame[12 + 4 * i : 14 + 4 * i] in (b"\x81\x00", b"\x88\xa8") for i in range(2))
            test.assertEqual(tags_in_clear, min(tags, self.vlan))
        test.assertEqual([f.hex() for f in line.delivered], [f.hex() for f in self.delivered])
        test.assertEqual(dict(line.drops["ingress"]), dict(self.drops["ingress"]))
        flow = line.flow
        for way, sent in (("egress", self.inside), ("ingress", self.outside)):
            test.assertEqual(flow[way]["rx_packets"], len(sent))
            test.assertEqual(flow[way]["tx_packets"] + sum(self.drops[way].values()), len(sent))


def at_tag(frame):
    """Where the SecTAG's EtherType is."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    assert frame[at : at + 2] == b"\x88\xe5"
    return at


def changed(frame, at, bits):
    frame = bytearray(frame)
    frame[at] ^= bits
    return bytes(frame)


def bad_frames(case):
    """Frames that must not come out, each with the reason that 802.1AE gives. No number is used up by them."""
    good = case.rx.seal(case.frame(70, PEER_MAC, case.vlan), case.pn)
    tag = at_tag(good)
    header = 16 if case.mode == "sci" else 8
    yield changed(good, 0, 2), "InPktsNotValid"
    # The source address is the SCI when nothing else says it.
    yield changed(good, 11, 1), "InPktsNoSAError" if case.mode in ("es", "scb") else "InPktsNotValid"
    yield changed(good, tag + 2, 0x80), "InPktsBadTag"
    yield changed(good, tag + 2, 0x01), "InPktsNoSAError"  # AN
    yield changed(good, tag + 3, 0x40), "InPktsBadTag"
    yield changed(good, tag + 3, 0x02), "InPktsNotValid"  # SL 2: the ICV is elsewhere
    yield changed(good, tag + 5, 0x10), "InPktsNotValid"  # PN
    yield changed(good, tag + 2, 0x04), "InPktsKay" if case.confidential else "InPktsNotValid"
    yield changed(good, tag + 2, 0x08), "InPktsNotValid" if case.confidential else "InPktsKay"
    for at in (0, 1, 29, 30, 49, 50, 69):
        yield changed(good, tag + header + at, 0x20), "InPktsNotValid"
    for at in range(-16, 0, 3):
        yield changed(good, at, 1 << (at % 8)), "InPktsNotValid"
    yield good[:-1], "InPktsNotValid"
    yield good + b"\0", "InPktsNotValid"  # SL is 0: no padding
    yield good[: tag + 16], "InPktsBadTag"
    yield good[: tag + header + 16 + 47], "InPktsBadTag"
    short = case.rx.seal(case.frame(20, PEER_MAC, case.vlan), case.pn)
    yield changed(short, tag + 3, 0x20), "InPktsBadTag"  # SL says more than there is
    yield changed(short, tag + 3, 20), "InPktsBadTag"  # SL 0 on a short frame
    yield changed(short + bytes(30), tag + 3, 0x01), "InPktsNotValid"
    stranger = case.channel("rx", sci_of(STRANGER_MAC, 1), 2, mode="sci")
    yield stranger.seal(case.frame(70, STRANGER_MAC, case.vlan), case.pn), "InPktsNoSAError"
    reflected = case.channel("tx", case.own_sci, 1, mode="sci")
    yield reflected.seal(case.frame(70, case.own_mac, case.vlan), case.pn), "InOwnSci"
    other_key = case.channel("rx", case.peer_sci, 2, key_of="nobody")
    yield other_key.seal(case.frame(70, PEER_MAC, case.vlan), case.pn), "InPktsNotValid"
    both = case.channel("rx", case.peer_sci, 2, mode="sci").seal(case.frame(70, PEER_MAC, case.vlan), case.pn)
    for bit in (0x40, 0x10):
        yield changed(both, at_tag(both) + 2, bit), "InPktsBadTag"  # SC with ES, SC with SCB
    if case.xpn:
        yield case.channel("rx", case.peer_sci, 3).seal(case.frame(70, PEER_MAC), case.pn), "InPktsNotValid"  # SSCI
    else:
        yield case.rx.seal(case.frame(70, PEER_MAC), 0), "InPktsBadTag"
    yield case.frame(70, PEER_MAC, case.vlan), "InPktsNoTag"


def fill(case):
    """Frames of both directions for a case of the matrix."""
    tags = itertools.cycle((0, 1, 2, 3) if case.vlan else (0, 2))
    for size in SIZES:
        case.send(size, next(tags))
    case.send(1500 + 2 - 4, 1 if case.vlan else 0)
    case.send(1500 + 2 + 1 + (0 if case.mode == "sci" else 8), 0, "OutPktsTooLong")
    case.send(64, 1)
    case.sealed[-1] = (case.sealed[-1][0], case.start + len(case.inside) - 1)

    sent = []
    for number, size in enumerate(SIZES):
        pad = max(0, 60 - (12 + (16 if case.mode == "sci" else 8) + size + 16)) if number % 2 else 0
        if size < 48 and number % 4 == 1:
            pad += 5
        sent.append(case.receive(size, next(tags), pad if size < 48 else 0))
    again = "InPktsDuplicate" if case.bitmap else "InPktsLate"
    case.refuse(sent[-1], again)
    case.refuse(sent[0], again)
    for frame, reason in bad_frames(case):
        case.refuse(frame, reason)
    case.receive(1500 + 2)
    if case.mode != "sci":  # a peer may say its SCI although we do not
        frame = case.frame(80, PEER_MAC)
        case.outside.append(case.channel("rx", case.peer_sci, 2, mode="sci").seal(frame, case.pn))
        case.delivered.append(frame)
        case.pn += 1
    if case.vlan:  # tags in clear are not protected: what the network made of them arrives
        frame = case.receive(90, 1, arrives=False)
        case.outside[-1] = changed(frame, 15, 0x0F)
        plain = case.rx.open(frame, pn_high=(case.pn - 1) >> 32)[0]
        case.delivered.append(changed(plain, 15, 0x0F))
    case.refuse(case.outside[-1], again)


def matrix():
    cases = []
    for suite, mode, service in itertools.product(SUITES, MODES, SERVICES):
        confidential, offset = SERVICES[service]
        if "xpn" in suite and offset:
            continue  # refused by the config: no offset with XPN
        number = len(cases)
        bitmap = number % 2 == 1
        # Every other XPN channel goes over the edge of the 32 bits on the wire.
        start = 0xFFFFFFF8 if "xpn" in suite and number % 4 < 2 else 1 + number
        case = Case(number, suite, mode, confidential, offset, vlan=(number + number // 4) % 3,
                    window=128 if bitmap else 0, bitmap=bitmap, start=start, label=service)
        fill(case)
        cases.append(case)
    return cases


class Modes(unittest.TestCase):
    def test_every_suite_tag_service_and_vlan_in_clear(self):
        cases = matrix()
        self.assertEqual(len(cases), 48)
        for first in range(0, len(cases), BOXED):
            box = Box()
            some = cases[first : first + BOXED]
            lines = [box.add(case.line()) for case in some]
            box.run()
            for case, line in zip(some, lines):
                with self.subTest(case.name):
                    case.check(self, line)


class Settings(unittest.TestCase):
    """What is not in the matrix: windows, validateFrames, jumbo frames, the end of the packet numbers."""

    @classmethod
    def setUpClass(cls):
        cls.box, cls.cases, cls.lines = Box(), {}, {}
        for number, build in enumerate((cls.jumbo_128, cls.jumbo_256, cls.jumbo_xpn_128, cls.jumbo_xpn_256,
                                        cls.window, cls.bitmap, cls.no_replay_protection, cls.check_integrity,
                                        cls.check_confidential, cls.disabled, cls.exhausted, cls.unprotected)):
            case, cleartext = build(100 + number)
            cls.cases[build.__name__] = case
            cls.lines[build.__name__] = cls.box.add(case.line(cleartext))
        cls.box.run()

    @staticmethod
    def jumbo(number, suite):
        case = Case(number, suite, label="jumbo", mtu=9000)
        for size in (1503, 2000, 2048, 2049, 4096, 8999, 9000, 9001, 9002):
            case.send(size)
            case.receive(size)
        case.send(9003, reason="OutPktsTooLong")
        case.refuse(changed(case.rx.seal(case.frame(9002, PEER_MAC), case.pn), 5000, 1), "InPktsNotValid")
        return case, False

    @staticmethod
    def jumbo_128(number):
        return Settings.jumbo(number, "gcm-aes-128")

    @staticmethod
    def jumbo_256(number):
        return Settings.jumbo(number, "gcm-aes-256")

    @staticmethod
    def jumbo_xpn_128(number):
        return Settings.jumbo(number, "gcm-aes-xpn-128")

    @staticmethod
    def jumbo_xpn_256(number):
        return Settings.jumbo(number, "gcm-aes-xpn-256")

    @staticmethod
    def window(number):
        """Reordered inside the window: delivered, twice too, as the standard has it; below it: late."""
        case = Case(number, "gcm-aes-128", window=32, label="window")
        for pn in (1, 50, 40, 19, 50):
            case.receive(100, pn=pn)
        case.refuse(case.rx.seal(case.frame(100, PEER_MAC), 18), "InPktsLate")
        case.refuse(case.rx.seal(case.frame(100, PEER_MAC), 1), "InPktsLate")
        return case, False

    @staticmethod
    def bitmap(number):
        """Every number once, in any order inside the window."""
        case = Case(number, "gcm-aes-xpn-128", window=256, bitmap=True, label="bitmap")
        numbers = list(range(1, 200))
        case.random.shuffle(numbers)
        for pn in numbers:
            case.receive(60, pn=pn)
        frames = list(case.outside)
        case.random.shuffle(frames)
        for frame in frames:
            case.refuse(frame, "InPktsDuplicate")
        case.receive(60, pn=456)
        case.receive(60, pn=201)
        for frame in frames[:20]:
            case.refuse(frame, "InPktsLate")
        return case, False

    @staticmethod
    def no_replay_protection(number):
        case = Case(number, "gcm-aes-256", extra={"replay-protect": "false"}, label="no-replay")
        for pn in (9, 3, 9, 1):
            case.receive(100, pn=pn)
        return case, False

    @staticmethod
    def check_integrity(number):
        """validateFrames check: what is readable arrives, counted."""
        case = Case(number, "gcm-aes-128", confidential=False, extra={"validate-frames": "check"}, label="check-i")
        case.receive(100)
        frame = case.frame(100, PEER_MAC)
        case.outside.append(changed(case.rx.seal(frame, case.pn), -1, 1))  # ICV
        case.delivered.append(frame)
        stranger = case.channel("rx", sci_of(STRANGER_MAC, 1), 2)
        frame = case.frame(100, STRANGER_MAC)
        case.outside.append(stranger.seal(frame, 7))
        case.delivered.append(frame)
        case.outside.append(frame)  # no SecTAG
        case.delivered.append(frame)
        case.refuse(changed(case.rx.seal(frame, 8), 14, 0x80), "InPktsBadTag")
        return case, True

    @staticmethod
    def check_confidential(number):
        """What is encrypted and not valid does not arrive, whatever validateFrames says."""
        case = Case(number, "gcm-aes-256", extra={"validate-frames": "check"}, label="check-c")
        case.receive(100)
        case.refuse(changed(case.rx.seal(case.frame(100, PEER_MAC), case.pn), -1, 1), "InPktsNotValid")
        stranger = case.channel("rx", sci_of(STRANGER_MAC, 1), 2)
        case.refuse(stranger.seal(case.frame(100, STRANGER_MAC), 7), "InPktsNoSAError")
        return case, True

    @staticmethod
    def disabled(number):
        case = Case(number, "gcm-aes-128", confidential=False, extra={"validate-frames": "disabled"}, label="disabled")
        case.receive(100)
        frame = case.frame(100, PEER_MAC)
        case.outside.append(changed(case.rx.seal(frame, case.pn), -1, 1))
        case.delivered.append(frame)
        return case, True

    @staticmethod
    def exhausted(number):
        """The last packet number is used, none after it."""
        case = Case(number, "gcm-aes-128", start=0xFFFFFFFD, label="exhausted")
        for _ in range(3):
            case.send(100)
        for _ in range(4):
            case.send(100, reason="OutPnExhausted")
        for _ in range(3):
            case.receive(100)
        return case, False

    @staticmethod
    def unprotected(number):
        case = Case(number, "gcm-aes-128", extra={"protect-frames": "false"}, label="unprotected")
        for size in SIZES:
            case.inside.append(case.frame(size, HOST_MAC))
        return case, True

    def check(self, name):
        self.cases[name].check(self, self.lines[name])
        return self.counters(name)

    def counters(self, name):
        secy = self.box.secys[self.cases[name].name]
        return {**secy["receive"]["counters"], **secy["receive"]["scs"][0]["counters"],
                "secy": secy["receive"]["counters"], **secy["transmit"]["counters"]}

    def test_jumbo_frames(self):
        for suite in ("128", "256", "xpn_128", "xpn_256"):
            with self.subTest(suite):
                self.check(f"jumbo_{suite}")

    def test_reordering_inside_and_below_the_window(self):
        counted = self.check("window")
        self.assertEqual((counted["InPktsOK"], counted["InPktsLate"]), (5, 2))

    def test_the_bitmap_takes_every_number_once(self):
        counted = self.check("bitmap")
        self.assertEqual((counted["InPktsOK"], counted["InPktsDuplicate"], counted["InPktsLate"]), (201, 199, 20))

    def test_without_replay_protection_late_frames_are_delayed(self):
        counted = self.check("no_replay_protection")
        self.assertEqual((counted["InPktsOK"], counted["InPktsDelayed"]), (1, 3))

    def test_validate_frames_check(self):
        counted = self.check("check_integrity")
        self.assertEqual((counted["InPktsOK"], counted["InPktsInvalid"], counted["InPktsUntagged"]), (1, 1, 1))
        self.assertEqual((counted["secy"]["InPktsNoSA"], counted["InPktsBadTag"]), (1, 1))
        counted = self.check("check_confidential")
        self.assertEqual((counted["InPktsOK"], counted["InPktsNotValid"]), (1, 1))
        self.assertEqual(counted["secy"]["InPktsNoSAError"], 1)

    def test_validate_frames_disabled(self):
        counted = self.check("disabled")
        self.assertEqual((counted["InPktsOK"], counted["InPktsUnchecked"]), (0, 2))

    def test_the_last_packet_number(self):
        counted = self.check("exhausted")
        self.assertEqual((counted["OutPktsEncrypted"], counted["OutPnExhausted"]), (3, 4))

    def test_protect_frames_off(self):
        case, line = self.cases["unprotected"], self.lines["unprotected"]
        self.assertEqual([f.hex() for f in line.sealed], [f.hex() for f in case.inside])
        self.assertEqual(self.counters("unprotected")["OutPktsUntagged"], len(case.inside))


if __name__ == "__main__":
    unittest.main()
