#!/usr/bin/python3
"""Every ESP algorithm through a running gateway, against scapy: both families inside and out, UDP, ESN, both ways."""

import collections
import itertools
import random
import struct
import sys
import unittest
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

sys.path.insert(0, str(Path(__file__).resolve().parent))
from box import SEED, Box, Line, key  # noqa: E402
from esp_codec import ALGORITHMS, Sa, key_length  # noqa: E402
from macsec_codec import Channel  # noqa: E402

LAN_MAC, WAN_MAC, HOST_MAC, PEER_MAC = (f"02:00:00:00:{n}" for n in ("01:01", "01:02", "01:77", "02:02"))
NEAR = {4: "192.0.2.1", 6: "2001:db8::1"}
FAR = {4: "192.0.2.2", 6: "2001:db8::2"}
HOST = {4: "10.1.0.2", 6: "fd00:1::2"}
# Octets behind the inner IP header: around 4- and 16-octet blocks with the two of the trailer, and long ones.
PAYLOADS = (0, 1, 2, 3, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 25, 26, 27, 200, 1200)


class Tunnel:
    """A pair of SAs, and the prefix behind them."""

    def __init__(self, number, algorithm, family, udp, esn):
        self.number, self.algorithm, self.family, self.udp, self.esn = number, algorithm, family, udp, esn
        self.name = f"{algorithm}-v{family}{'-udp' if udp else ''}{'-esn' if esn else ''}"
        self.out = Sa(algorithm, 0x10000 + number, key(f"{self.name} out", key_length(algorithm)), esn)
        self.into = Sa(algorithm, 0x20000 + number, key(f"{self.name} in", key_length(algorithm)), esn)
        self.far = {4: f"10.2.{number}.7", 6: f"fd00:2:{number:x}::7"}
        # The registered port, or others that the SAs name.
        self.near_port, self.far_port = (4500 + number, 4700 + number) if udp and number % 2 else (4500, 4500)
        self.sent, self.random = 0, random.Random(SEED + number)

    def sas(self):
        def udp(source, destination, more=""):
            ports = f"source-port: {source}, destination-port: {destination}{more}"
            return f", udp-encapsulation: {{{ports}}}" if self.udp else ""

        outward = udp(self.near_port, self.far_port, ", keepalive: 0s")
        common = f"algorithm: {self.algorithm}, esn: {str(self.esn).lower()}"
        near, far = NEAR[self.family], FAR[self.family]
        return (f'    o-{self.name}: {{direction: out, spi: {self.out.spi}, key: "{self.out.keymat.hex()}", '
                f'source: "{near}", destination: "{far}", {common}{outward}}}\n'
                f'    i-{self.name}: {{direction: in, spi: {self.into.spi}, key: "{self.into.keymat.hex()}", '
                f'source: "{far}", destination: "{near}", replay-window: 64, '
                f'{common}{udp(self.far_port, self.near_port)}}}\n')

    def policy(self):
        return (f"    p-{self.name}: {{action: protect, sa: o-{self.name}, inbound-sa: i-{self.name}, "
                f'source: [10.1.0.0/24, "fd00:1::/64"], '
                f'destination: [10.2.{self.number}.0/24, "fd00:2:{self.number:x}::/64"]}}\n')

    def inner(self, family, size, outward, ttl=64):
        ends = (HOST[family], self.far[family])
        source, destination = ends if outward else ends[::-1]
        data = Raw(self.random.randbytes(size))
        dscp = self.random.randrange(64) << 2  # Not-ECT
        if family == 4:
            return bytes(IP(src=source, dst=destination, ttl=ttl, proto=253, tos=dscp, id=size) / data)
        return bytes(IPv6(src=source, dst=destination, hlim=ttl, nh=253, tc=dscp, fl=size) / data)

    def outer(self, esp, tos=0):
        """What the far end sends: an Ethernet frame around an ESP packet."""
        source, destination = FAR[self.family], NEAR[self.family]
        if self.family == 4:
            packet = IP(src=source, dst=destination, tos=tos, proto=17 if self.udp else 50)
        else:
            packet = IPv6(src=source, dst=destination, tc=tos, nh=17 if self.udp else 50)
        if self.udp:
            udp = UDP(sport=self.far_port, dport=self.near_port, len=8 + len(esp))
            if self.family == 4:
                udp.chksum = 0
            packet = packet / udp
        return bytes(Ether(dst=WAN_MAC, src=PEER_MAC) / packet / Raw(esp))


def hop(inner):
    """The packet one hop further on."""
    if inner[0] >> 4 == 6:
        return inner[:7] + bytes((inner[7] - 1,)) + inner[8:]
    packet = IP(inner)
    packet.ttl -= 1
    del packet.chksum
    return bytes(packet)


def ether(destination, source, inner):
    kind = b"\x08\x00" if inner[0] >> 4 == 4 else b"\x86\xdd"
    return bytes.fromhex(destination.replace(":", "") + source.replace(":", "")) + kind + inner


def announces(frame):
    """Whether it is the gateway's own announcement of its addresses: gratuitous ARP or an unsolicited ND advertisement.
    Those are clear where there is no MACsec."""
    if frame[12:14] == b"\x08\x06":
        return frame[28:32] == frame[38:42]
    return frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136 and frame[38:40] == b"\xff\x02"


def settings(tunnels, lan="gw-in", wan="gw-out"):
    text = f"""gateway:
  addresses:
    {lan}: [10.1.0.1/24, "fd00:1::1/64"]
    {wan}: [192.0.2.1/24, "2001:db8::1/64"]
  neighbours:
    10.1.0.2: {{mac: "{HOST_MAC}", port: {lan}}}
    "fd00:1::2": {{mac: "{HOST_MAC}", port: {lan}}}
    192.0.2.2: {{mac: "{PEER_MAC}", port: {wan}}}
    "2001:db8::2": {{mac: "{PEER_MAC}", port: {wan}}}
esp:
  sas:
"""
    return text + "".join(t.sas() for t in tunnels) + "  policies:\n" + "".join(t.policy() for t in tunnels)


class Gateway(unittest.TestCase):
    engine, algorithms, payloads, mtu = "auto", tuple(ALGORITHMS), PAYLOADS, 1500

    @classmethod
    def setUpClass(cls):
        kinds = itertools.product(cls.algorithms, (4, 6), (False, True), (False, True))
        cls.tunnels = [Tunnel(number, *kind) for number, kind in enumerate(kinds)]
        cls.sealed, cls.delivered, inside, outside = [], [], [], []
        cls.dropped = collections.Counter()

        def refuse(frame, reason):
            outside.append(frame)
            cls.dropped[reason] += 1

        def arrives(tunnel, inner, frame):
            outside.append(frame)
            cls.delivered.append((tunnel, ether(HOST_MAC, LAN_MAC, hop(inner))))

        for tunnel in cls.tunnels:
            sizes = [cls.payloads[(tunnel.number * 5 + step) % len(cls.payloads)] for step in range(6)]
            for step, size in enumerate(sizes):
                family = 4 if step % 2 else 6
                inner = tunnel.inner(family, size, outward=True)
                inside.append(ether(LAN_MAC, HOST_MAC, inner))
                cls.sealed.append((tunnel, hop(inner), step + 1))
                inner = tunnel.inner(family, size, outward=False)
                arrives(tunnel, inner, tunnel.outer(tunnel.into.seal(inner, step + 1)))
            again = outside[-1]
            refuse(again, "EspReplay")
            esp = tunnel.into.seal(tunnel.inner(4, 64, outward=False), 10)
            for at, reason in ((0, "EspUnknownSpi"), (7, "EspAuthFailed"), (20, "EspAuthFailed"),
                               (len(esp) // 2, "EspAuthFailed"), (len(esp) - 1, "EspAuthFailed")):
                bad = bytearray(esp)
                bad[at] ^= 0x40
                refuse(tunnel.outer(bytes(bad)), reason)
            refuse(tunnel.outer(esp[:-1]), "EspMalformed")
            other = tunnel.inner(4, 20, outward=True)  # not from behind the far end
            refuse(tunnel.outer(tunnel.into.seal(other, 11)), "EspSelectorMismatch")
            tunnel.udp = not tunnel.udp
            refuse(tunnel.outer(esp), "EspUnknownSpi")
            tunnel.udp = not tunnel.udp
            refuse(ether(WAN_MAC, PEER_MAC, tunnel.inner(4, 30, outward=False)), "EspClearInbound")
        # Over the edge of the 32 bits: only the low half is on the wire. The high half is inferred from what was settled
        # before the burst, so these go round by round, more SAs than a burst has packets.
        cls.over_the_edge = len(cls.tunnels) > 64
        for number in (100, 0xFFFFFFF0, 0x100000003, 0xFFFFFFFE, 0x100000001) if cls.over_the_edge else ():
            for tunnel in cls.tunnels:
                if tunnel.esn or number < 1 << 32 and number != 0xFFFFFFFE:
                    inner = tunnel.inner(6, 33, outward=False)
                    arrives(tunnel, inner, tunnel.outer(tunnel.into.seal(inner, number)))
        for tunnel in cls.tunnels:
            if tunnel.esn and cls.over_the_edge:  # the right low half under the wrong high one
                refuse(tunnel.outer(tunnel.into.seal(tunnel.inner(6, 33, outward=False), 16)), "EspAuthFailed")
        cls.inside, cls.outside = inside, outside
        cls.box = Box(engine=cls.engine)
        cls.line = cls.box.add(Line("gw", "esp", settings(cls.tunnels), inside, outside, mtu=cls.mtu))
        cls.box.run(timeout=90)
        for frames in (cls.line.sealed, cls.line.delivered):
            frames[:] = [frame for frame in frames if not announces(frame)]

    def test_engine(self):
        self.assertEqual(self.line.flow["engine"], self.engine.strip('"'))

    def test_outbound(self):
        self.assertEqual(self.line.drops["egress"], {})
        self.assertEqual(len(self.line.sealed), len(self.sealed))
        seen = collections.defaultdict(set)
        for frame, (tunnel, inner, number) in zip(self.line.sealed, self.sealed):
            with self.subTest(tunnel.name, length=len(inner)):
                packet = Ether(frame)
                self.assertEqual((packet.dst, packet.src), (PEER_MAC, WAN_MAC))
                outer = packet.payload
                self.assertEqual(outer.version, tunnel.family)
                self.assertEqual((outer.src, outer.dst), (NEAR[tunnel.family], FAR[tunnel.family]))
                raw = bytes(outer)
                again = outer.copy()
                if tunnel.family == 4:
                    self.assertEqual((outer.ttl, outer.len, outer.ihl), (64, len(frame) - 14, 5))
                    del again.chksum
                    self.assertEqual(bytes(again)[:20], raw[:20])
                    tos, protocol, upper = outer.tos, outer.proto, raw[20:]
                else:
                    self.assertEqual((outer.hlim, outer.plen), (64, len(frame) - 54))
                    tos, protocol, upper = outer.tc, outer.nh, raw[40:]
                inner_tos = inner[1] if inner[0] >> 4 == 4 else (inner[0] << 4 | inner[1] >> 4) & 0xFF
                self.assertEqual(tos, inner_tos)
                self.assertEqual(protocol, 17 if tunnel.udp else 50)
                if tunnel.udp:
                    source, destination, length, checksum = struct.unpack("!HHHH", upper[:8])
                    self.assertEqual((source, destination, length),
                                     (tunnel.near_port, tunnel.far_port, len(upper)))
                    if tunnel.family == 6:  # IPv6 has UDP checksums
                        self.assertNotEqual(checksum, 0)
                        again = IPv6(raw)
                        data = Raw(bytes(again[UDP].payload))
                        again[UDP].remove_payload()
                        again = again / data
                        del again[UDP].chksum
                        self.assertEqual(bytes(again)[46:48], raw[46:48])
                    upper = upper[8:]
                opened, low, iv = tunnel.out.open(upper)
                self.assertEqual(opened.hex(), inner.hex())
                self.assertEqual(low, number)
                if tunnel.out.iv_length:
                    self.assertNotIn(iv, seen[tunnel.number])
                    seen[tunnel.number].add(iv)

    def test_inbound(self):
        self.assertEqual(self.line.drops["ingress"], dict(self.dropped))
        self.assertEqual(len(self.line.delivered), len(self.delivered))
        for frame, (tunnel, expected) in zip(self.line.delivered, self.delivered):
            with self.subTest(tunnel.name, length=len(expected)):
                self.assertEqual(frame.hex(), expected.hex())

    def test_each_sa_counts_its_own(self):
        for tunnel in self.tunnels:
            with self.subTest(tunnel.name):
                sa = self.box.sas["gw", f"o-{tunnel.name}"]
                self.assertEqual((sa["packets"], sa["next_sn"], sa["dropped"]), (6, 7, 0))
                sa = self.box.sas["gw", f"i-{tunnel.name}"]
                good = 6 + (0 if not self.over_the_edge else 5 if tunnel.esn else 2)
                self.assertEqual(sa["packets"], good)
                self.assertEqual((sa["replay_drops"], sa["auth_failed"], sa["malformed"], sa["selector_drops"]),
                                 (1, 4 + (tunnel.esn and self.over_the_edge), 1, 1))


class OnAesniMb(Gateway):
    """The same by a crypto device, which answers later."""

    engine = '"cryptodev:crypto_aesni_mb0"'


class OnOpenssl(Gateway):
    engine = '"cryptodev:crypto_openssl0"'
    algorithms = tuple(name for name in ALGORITHMS if "chacha" not in name)  # that device does not offer it


class OnAesniGcm(Gateway):
    engine = '"cryptodev:crypto_aesni_gcm0"'
    algorithms = tuple(name for name in ALGORITHMS if "gcm" in name or "gmac" in name)


class Jumbo(Gateway):
    algorithms = ("aes-gcm-128", "aes-cbc-128-hmac-sha1-96", "chacha20-poly1305")
    payloads = (1473, 2048, 2100, 4096, 8000, 8191, 8192, 8700, 8800, 8850)
    mtu = 9000


class Both(unittest.TestCase):
    """ESP inside MACsec."""

    def test_both_layers(self):
        self.check((0, 1, 14, 100, 1300))

    def test_jumbo_frames(self):
        self.check((1473, 2048, 4096, 8192, 8850), mtu=9000)

    def test_by_crypto_devices(self):
        for device in ("crypto_aesni_mb0", "crypto_openssl0"):
            with self.subTest(device):
                self.check((0, 1, 14, 100, 1300), engine=f'"cryptodev:{device}"')
                self.check((4096, 8850), engine=f'"cryptodev:{device}"', mtu=9000)

    def check(self, sizes, engine="auto", mtu=1500):
        own, peer = 0x0200000001020001, 0x0200000002020001
        suite = "gcm-aes-xpn-256"
        channels = [Channel(suite, sci, 0, key(f"both {name}", 32), salt=key(f"both {name} salt", 12), ssci=ssci)
                    for name, sci, ssci in (("tx", own, 1), ("rx", peer, 2))]
        tunnels = [Tunnel(0, "aes-gcm-256", 4, False, True), Tunnel(1, "aes-cbc-256-hmac-sha256-128", 6, True, False)]
        text = settings(tunnels, "both-in", "both-out") + f"""macsec:
  suite: {suite}
  sci: "02:00:00:00:01:02/1"
  tx: {{encoding-sa: 0, sas: {{0: {{key: "{key('both tx', 32).hex()}", salt: "{key('both tx salt', 12).hex()}", ssci: 1}}}}}}
  rx: {{peer: {{sci: "02:00:00:00:02:02/1", sas: {{0: {{key: "{key('both rx', 32).hex()}", salt: "{key('both rx salt', 12).hex()}", ssci: 2}}}}}}}}
"""
        inside, outside, sealed, delivered = [], [], [], []
        for number, (tunnel, family, size) in enumerate(itertools.product(tunnels, (4, 6), sizes)):
            sn = number % (2 * len(sizes)) + 1
            inner = tunnel.inner(family, size, outward=True)
            inside.append(ether(LAN_MAC, HOST_MAC, inner))
            sealed.append((tunnel, hop(inner), sn))
            inner = tunnel.inner(family, size, outward=False)
            outside.append(channels[1].seal(tunnel.outer(tunnel.into.seal(inner, sn)), number + 1))
            delivered.append(ether(HOST_MAC, LAN_MAC, hop(inner)))
        clear = tunnels[0].outer(tunnels[0].into.seal(tunnels[0].inner(4, 9, outward=False), 50))
        outside.append(clear)  # good ESP without MACsec
        count = len(delivered)
        outside.append(channels[1].seal(ether(WAN_MAC, PEER_MAC, tunnels[0].inner(4, 9, outward=False)), count + 1))
        outside.append(outside[0])  # both layers a second time
        outside.append(channels[1].seal(tunnels[0].outer(tunnels[0].into.seal(
            tunnels[0].inner(4, 9, outward=False), 1)), count + 2))  # ESP a second time in fresh MACsec
        box = Box(engine=engine)
        line = box.add(Line("both", "esp, macsec", text, inside, outside, mtu=mtu))
        box.run()
        self.assertEqual(line.drops["egress"], {})
        plain = []
        for number, frame in enumerate(line.sealed):
            self.assertEqual(frame[12:14], b"\x88\xe5")
            opened, pn = channels[0].open(frame)
            self.assertEqual(pn, number + 1)
            if not announces(opened):
                plain.append(opened)
        self.assertEqual(len(plain), len(sealed))
        for opened, (tunnel, inner, sn) in zip(plain, sealed):
            header = 34 if tunnel.family == 4 else 62
            found, low, _ = tunnel.out.open(opened[header:])
            self.assertEqual((found.hex(), low), (inner.hex(), sn))
        self.assertEqual([f.hex() for f in line.delivered if not announces(f)], [f.hex() for f in delivered])
        self.assertEqual(line.drops["ingress"],
                         {"InPktsNoTag": 1, "EspClearInbound": 1, "InPktsLate": 1, "EspReplay": 1})


if __name__ == "__main__":
    unittest.main()
