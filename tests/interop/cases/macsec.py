"""Static MACsec of a wire against Linux's macsec driver."""

import json
import os
import struct
from dataclasses import dataclass

from harness import Case, expect, wait_for
from linux import Macsec, Sa
from ours import GUEST_MAC, HOST_MAC, WAN_MAC
from raw import Capture, checksum, ethernet, ipv4, octets, seal_macsec, send_from_guest

KEY_OCTETS = {"gcm-aes-128": 16, "gcm-aes-256": 32, "gcm-aes-xpn-128": 16, "gcm-aes-xpn-256": 32}
HOST, PEER = "10.9.0.1", "10.9.0.2"
# Around the 48 octets of Secure Data that SL counts (payload 18), the ends, and some between.
SIZES = (0, 1, 4, 15, 16, 17, 18, 19, 20, 33, 63, 64, 100, 255, 256, 511, 512, 1000, 1400, 1440, 1471, 1472)


@dataclass
class Variant:
    """How both ends are set. `window` None: replay protection off."""
    suite: str = "gcm-aes-128"
    sci: str = "yes"  # yes, no, es
    encrypt: bool = True
    window: int | None = 0
    first_pn: int = 1


class Wire:
    """Both ends of a MACsec link, up and with addresses."""

    def __init__(self, bench, variant, peer_key=None, peer_receive_key=None):
        """`peer_key`, `peer_receive_key`: what the guest sends or receives with instead, to be refused."""
        self.variant = variant
        self.box = bench.box
        octets_of_key = KEY_OCTETS[variant.suite]
        extended = "xpn" in variant.suite
        our_key, their_key = (os.urandom(octets_of_key).hex() for _ in range(2))
        salts = [os.urandom(12).hex() if extended else "" for _ in range(2)]
        self.our_sa = Sa(our_key, pn=variant.first_pn, salt=salts[0], ssci=1 if extended else 0)
        self.their_sa = Sa(their_key, pn=variant.first_pn, salt=salts[1], ssci=2 if extended else 0)
        # Without an SCI in the frame Linux takes the source address for it, which on a wire is the host's.
        self.our_mac = WAN_MAC if variant.sci == "yes" else HOST_MAC

        def ours(sa):
            entry = {"key": sa.key, "next-pn": sa.pn}
            return {"0": {**entry, "salt": sa.salt, "ssci": sa.ssci} if extended else entry}

        macsec = {
            "suite": variant.suite, "sci": f"{self.our_mac}/1", "confidentiality": variant.encrypt,
            "include-sci": variant.sci == "yes", "use-es": variant.sci == "es",
            "replay-protect": variant.window is not None, "replay-window": variant.window or 0,
            "tx": {"encoding-sa": 0, "sas": ours(self.our_sa)},
            "rx": {"peer": {"sci": f"{GUEST_MAC}/1", "sas": ours(self.their_sa)}}}
        self.guest = bench.start(
            {"wire": {"stages": ["macsec"], "inside": ["lan"], "outside": ["wan"], "macsec": macsec}}, 1532, self.our_mac)
        self.box.host_addresses(f"{HOST}/24")
        self.guest.check("ip link set eth0 mtu 1532 up")
        self.linux = Macsec(self.guest, "eth0")
        self.linux.set_up(
            variant.suite, tx=Sa(**{**vars(self.their_sa), "key": peer_key or their_key}),
            rx=Sa(**{**vars(self.our_sa), "key": peer_receive_key or our_key}), peer_mac=self.our_mac,
            encrypt=variant.encrypt, send_sci=variant.sci == "yes", end_station=variant.sci == "es",
            window=variant.window, addresses=[f"{PEER}/24"])

    def sweep(self):
        """Pings of all sizes, both ways."""
        lost = [size for size in SIZES if self.box.ping(PEER, size=size) != 1]
        expect(lost, [], "sizes lost from the inside host")
        output = self.guest.check("; ".join(f"ping -q -n -c 1 -W 3 -s {size} {HOST} >/dev/null || echo {size}"
                                            for size in SIZES) + "; true", timeout=120)
        expect(output.split(), [], "sizes lost from the guest")

    def expect_same_counts(self):
        """What one end sent is what the other accepted, octet for octet, and nothing was refused."""
        kind, received = (("Encrypted", "Decrypted") if self.variant.encrypt else ("Protected", "Validated"))

        def settled():
            ours, theirs = self.box.secy(), self.linux.counters()
            return (ours[f"OutPkts{kind}"] == theirs["InPktsOK"] and theirs[f"OutPkts{kind}"] == ours["InPktsOK"]
                    and (ours, theirs))

        try:
            ours, theirs = wait_for(settled, "equal counters")
        except AssertionError as error:
            raise AssertionError(f"{error}: ours {self.box.secy()}, Linux {self.linux.counters()}") from None
        expect(theirs[f"InOctets{received}"], ours[f"OutOctets{kind}"], "octets, ours to Linux")
        expect(ours[f"InOctets{received}"], theirs[f"OutOctets{kind}"], "octets, Linux to ours")
        expect(self.box.drops(), {}, "our drops")
        for name in ("InPktsNotValid", "InPktsLate", "InPktsBadTag", "InPktsNoSCI", "InPktsNotUsingSA"):
            expect(theirs[name], 0, f"Linux's {name}")
        return ours


def exchange(bench, variant):
    wire = Wire(bench, variant)
    wire.sweep()
    ours = wire.expect_same_counts()
    expect(ours["InPktsOK"] >= 2 * len(SIZES), True, f"frames received: {ours}")


def format_on_the_wire(bench, variant):
    """The SecTAG as a third party sees it: our frames as tcpdump in the guest has them."""
    wire = Wire(bench, variant)
    capture = Capture(wire.guest, "eth0", "ether proto 0x88e5")
    expect(wire.box.ping(PEER, count=2), 2, "replies")
    tags = {}
    for frame in capture.frames():
        tags.setdefault(frame[6:12] == octets(HOST_MAC), set()).add(frame[14] & 0xFC)
    expected = {"yes": 0x20, "no": 0x00, "es": 0x40}[variant.sci] | (0x0C if variant.encrypt else 0)
    expect(tags, {True: {expected}, False: {expected}}, "TCI of our frames and of Linux's")


def transfer(wire):
    """iperf3 over TCP, both ways; returns what it says at the end."""
    for reverse in ([], ["-R"]):
        wire.guest.check("iperf3 -s -1 -D >/dev/null 2>&1 </dev/null")
        wire.guest.guest.wait_until("ss -ltn 2>/dev/null | grep -q :5201")
        # At the end up to 512 KiB may still lie in the ends' socket buffers, uncounted.
        output = wire.box.enter_inside("iperf3", "-c", PEER, "-n", "7M", "-J", "-w", "128K", *reverse)
        end = json.loads(output)["end"]
        expect(end["sum_received"]["bytes"] >= 6_000_000, True, f"octets received of {end['sum_received']}")
    return end


def tcp(bench, variant):
    wire = Wire(bench, variant)
    end = transfer(wire)
    wire.expect_same_counts()
    return {"tcp_mbit": round(end["sum_received"]["bits_per_second"] / 1e6)}


def wrong_key(bench):
    other = os.urandom(16).hex()
    wire = Wire(bench, Variant(), peer_key=other)
    expect(wire.guest.ping(HOST, count=5, timeout=1), 0, "replies to frames sealed with a wrong key")
    refused = wire.linux.counters()["OutPktsEncrypted"]
    expect(refused >= 1, True, "frames that Linux sent")
    wait_for(lambda: wire.box.secy()["InPktsNotValid"] == refused, f"our InPktsNotValid to be {refused}")
    expect(wire.box.drops(), {"InPktsNotValid": refused}, "our drops")
    expect(wire.box.secy()["InPktsOK"], 0, "frames accepted")
    bench.reset()
    wire = Wire(bench, Variant(), peer_receive_key=other)
    expect(wire.box.ping(PEER, count=5, timeout=1), 0, "replies to frames sealed with a wrong key")
    refused = wire.box.secy()["OutPktsEncrypted"]
    expect(refused >= 1, True, "frames that we sent")
    wait_for(lambda: wire.linux.counters()["InPktsNotValid"] == refused, f"Linux's InPktsNotValid to be {refused}")


def echo_reply(source_mac, source, destination, payload=b"sealwire" * 8):
    """An ICMP echo reply as a whole frame. A request would have the receiver ask for the sender's address, and what
    Linux answers then has a PN of its own, long late beside those of frames made here."""
    message = struct.pack("!BBHHH", 0, 0, 0, 1, 1) + payload
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return ethernet("ff:ff:ff:ff:ff:ff", source_mac, 0x0800, ipv4(source, destination, 1, message))


def sealed(key, sci_mac, pn, frame=None, **options):
    sci = octets(sci_mac) + b"\x00\x01"
    return seal_macsec(frame or echo_reply(sci_mac, PEER, HOST), key, sci, pn, **options)


def flipped(frame, at, bit=1):
    return frame[:at] + bytes([frame[at] ^ bit]) + frame[at + 1:]


# Each: how it is made from key, sealing MAC and a fresh PN; our counter; Linux's; both refuse it.
REFUSED = {
    "corrupted data": (lambda k, m, pn: flipped(sealed(k, m, pn), 40), "InPktsNotValid", "InPktsNotValid"),
    "corrupted ICV": (lambda k, m, pn: flipped(sealed(k, m, pn), -1 % len(sealed(k, m, pn))), "InPktsNotValid",
                      "InPktsNotValid"),
    "corrupted address": (lambda k, m, pn: flipped(sealed(k, m, pn), 8), "InPktsNotValid", "InPktsNotValid"),
    "corrupted PN": (lambda k, m, pn: flipped(sealed(k, m, pn), 17, 0x40), "InPktsNotValid", "InPktsNotValid"),
    "PN of the past": (lambda k, m, pn: sealed(k, m, 1), "InPktsLate", "InPktsLate"),
    "unknown SCI": (lambda k, m, pn: flipped(sealed(k, m, pn), 25, 0x55), "InPktsNoSAError", "InPktsNoSCI"),
    "unused AN": (lambda k, m, pn: sealed(k, m, pn, an=2), "InPktsNoSAError", "InPktsNotUsingSA"),
    "version bit": (lambda k, m, pn: flipped(sealed(k, m, pn), 14, 0x80), "InPktsBadTag", "InPktsBadTag"),
    "bit 7 of SL": (lambda k, m, pn: flipped(sealed(k, m, pn), 15, 0x40), "InPktsBadTag", "InPktsBadTag"),
    "PN zero": (lambda k, m, pn: sealed(k, m, 0), "InPktsBadTag", "InPktsBadTag"),
    "no SecTAG": (lambda k, m, pn: echo_reply(m, PEER, HOST), "InPktsNoTag", "InPktsNoTag"),
}


def refused(bench):
    """The same wrong frames to both ends: both refuse each of them and count it alike."""
    wire = Wire(bench, Variant())
    # A good frame first: PN 100 is the past's end from here on.
    send_from_guest(wire.guest, "eth0", [sealed(wire.their_sa.key, GUEST_MAC, 100)])
    wait_for(lambda: wire.box.secy()["InPktsOK"] == 1, "our end to accept the frame made here")
    wire.box.inject([sealed(wire.our_sa.key, WAN_MAC, 100, echo_reply(HOST_MAC, HOST, PEER))])
    wait_for(lambda: wire.linux.counters()["InPktsOK"] == 1, "Linux to accept the frame made here")
    for number, (what, (make, our_name, their_name)) in enumerate(REFUSED.items(), 1000):
        accepted = wire.box.secy()["InPktsOK"], wire.linux.counters()["InPktsOK"]
        before = wire.box.drops().get(our_name, 0)
        send_from_guest(wire.guest, "eth0", [make(wire.their_sa.key, GUEST_MAC, number)] * 3)
        wait_for(lambda: wire.box.drops().get(our_name, 0) == before + 3, f"our {our_name} for {what}")
        before = wire.linux.counters()[their_name]
        wire.box.inject([make(wire.our_sa.key, WAN_MAC, number)] * 3)
        wait_for(lambda: wire.linux.counters()[their_name] == before + 3, f"Linux's {their_name} for {what}")
        expect((wire.box.secy()["InPktsOK"], wire.linux.counters()["InPktsOK"]), accepted, f"accepted after {what}")
    return {"wrong_frames": len(REFUSED)}


def replayed(bench, window):
    """Frames of a real exchange sent again, by both ends' wires."""
    wire = Wire(bench, Variant(window=window))
    capture = Capture(wire.guest, "eth0", "ether proto 0x88e5")
    expect(wire.box.ping(PEER, count=4), 4, "replies")
    frames = capture.frames()
    theirs = [frame for frame in frames if frame[6:12] == octets(GUEST_MAC)]
    ours = [frame for frame in frames if frame[6:12] == octets(HOST_MAC)]
    if window:  # out of the window: move on by more than it holds
        expect(wire.box.ping(PEER, count=window + 8), window + 8, "replies")
    ok = wire.box.secy()["InPktsOK"], wire.linux.counters()["InPktsOK"]
    send_from_guest(wire.guest, "eth0", theirs)
    wire.box.inject(ours)
    wait_for(lambda: wire.box.secy()["InPktsLate"] == len(theirs), f"our InPktsLate to be {len(theirs)}")
    wait_for(lambda: wire.linux.counters()["InPktsLate"] == len(ours), f"Linux's InPktsLate to be {len(ours)}")
    expect((wire.box.secy()["InPktsOK"], wire.linux.counters()["InPktsOK"]), ok, "accepted after the replay")


def replay_allowed(bench):
    """Replay protection off: both ends take the old frames again, as the standard has it."""
    wire = Wire(bench, Variant(window=None))
    capture = Capture(wire.guest, "eth0", f"ether proto 0x88e5 and ether src {GUEST_MAC}")
    expect(wire.box.ping(PEER, count=4), 4, "replies")
    frames = capture.frames()
    ok = wire.box.secy()["InPktsOK"]
    delayed = wire.box.secy().get("InPktsDelayed", 0)
    send_from_guest(wire.guest, "eth0", frames)
    wait_for(lambda: wire.box.secy()["InPktsOK"] + wire.box.secy().get("InPktsDelayed", 0)
             == ok + delayed + len(frames), "the old frames to be accepted")
    expect(wire.box.drops(), {}, "our drops")


def padded(bench):
    """Short frames that an Ethernet padded after the ICV: SL says where the ICV is."""
    wire = Wire(bench, Variant())
    watch = wire.box.watch_inside("icmp")
    sent = []
    for index, length in enumerate(range(0, 20)):
        inner = echo_reply(GUEST_MAC, PEER, HOST, payload=bytes(range(length)))[:34 + 8 + length]
        frame = sealed(wire.their_sa.key, GUEST_MAC, 100 + index, inner)
        sent.append((inner, frame.ljust(len(frame) + 1 + index % 7, b"\0") if len(inner) - 12 < 48 else frame))
    send_from_guest(wire.guest, "eth0", [frame for _, frame in sent])
    wait_for(lambda: wire.box.secy()["InPktsOK"] == len(sent), f"all {len(sent)} padded frames")
    got = [frame for frame in watch.frames() if frame[6:12] == octets(GUEST_MAC) and frame[34] == 0]
    expect([frame[:len(inner)] for frame, (inner, _) in zip(got, sent)], [inner for inner, _ in sent], "frames inside")


def cases():
    found = []

    def add(name, proves, function):
        found.append(Case(f"macsec-{name}", "macsec", proves, function))

    for suite in KEY_OCTETS:
        xpn = "xpn" in suite
        # XPN starts so that the low 32 bits wrap within the sweep.
        basic = Variant(suite, window=64 if xpn else 0, first_pn=2**32 - 20 if xpn else 1)
        add(suite, f"{suite}, SCI sent, both ways, every size" + (", across 2^32" if xpn else ""),
            lambda bench, v=basic: exchange(bench, v))
        for name, text, change in (("nosci", "no SCI sent", {"sci": "no"}), ("es", "end station", {"sci": "es"}),
                                   ("integrity", "integrity only", {"encrypt": False}),
                                   ("noreplay", "replay protection off", {"window": None})):
            # Linux cannot switch replay protection off with an XPN suite.
            if name == "integrity" or suite == "gcm-aes-128" or (xpn and name != "noreplay"):
                variant = Variant(**{**vars(basic), **change})
                add(f"{suite}-{name}", f"{suite}, {text}, both ways, every size",
                    lambda bench, v=variant: exchange(bench, v))
    for name, variant in (("sci", Variant()), ("nosci", Variant(sci="no")), ("es", Variant(sci="es")),
                          ("integrity", Variant(encrypt=False))):
        add(f"sectag-{name}", "our SecTAG has the TCI bits that Linux's has",
            lambda bench, v=variant: format_on_the_wire(bench, v))
    for suite in ("gcm-aes-128", "gcm-aes-xpn-256"):
        add(f"tcp-{suite}", f"{suite}, iperf3 TCP both ways, no frame lost between the ends",
            lambda bench, s=suite: tcp(bench, Variant(s, window=0)))
    add("wrong-key", "a wrong key is counted as NotValid by either end", wrong_key)
    add("refused", "eleven kinds of wrong frame are refused and counted alike by both ends", refused)
    add("replayed", "replayed frames are counted as Late by both ends, window 0", lambda bench: replayed(bench, 0))
    add("replayed-window", "the same beyond a window of 16", lambda bench: replayed(bench, 16))
    add("replay-allowed", "with replay protection off old frames are accepted", replay_allowed)
    add("padded", "short frames with Ethernet padding after the ICV are accepted", padded)
    return found
