"""Static ESP tunnels of a gateway against Linux's XFRM."""

import os
import struct
from dataclasses import dataclass

from harness import Case, expect, wait_for
from linux import Xfrm, esp_algorithms, esp_key_length
from raw import Capture, checksum, octets, send_from_guest

OURS = {4: "192.0.2.1", 6: "2001:db8::1"}
THEIRS = {4: "192.0.2.2", 6: "2001:db8::2"}
LAN = {4: "10.1.0.0/24", 6: "fd00:1::/64"}
LAN_GATEWAY = {4: "10.1.0.1", 6: "fd00:1::1"}
HOST = {4: "10.1.0.2", 6: "fd00:1::2"}
# Around every block of 4 and 16 octets, and the ends.
SIZES = (*range(0, 18), 30, 31, 32, 33, 47, 48, 63, 64, 65, 255, 256, 257, 1000, 1400, *range(1440, 1473, 4))
FEW_SIZES = (0, 1, 64, 1000, 1400)


def remote(number, version):
    """The inner address and prefix at the far end of tunnel `number`."""
    return (f"10.2.{number}.1", f"10.2.{number}.0/24") if version == 4 else \
        (f"fd00:2:{number + 1:x}::1", f"fd00:2:{number + 1:x}::/64")


@dataclass
class Tunnel:
    algorithm: str = "aes-gcm-256"
    esn: bool = True
    window: int = 128
    inner: int = 4
    outer: int = 4
    udp: bool = False
    # What the peer uses instead, to be refused.
    peer_sends_key: str = ""
    peer_receives_key: str = ""
    options: tuple = ()  # more settings of our outbound SA, as pairs
    first: int = 1  # sequence number of both ends' outbound SA


class Site:
    """Our gateway with some tunnels to the guest, all up."""

    def __init__(self, bench, tunnels, wan_mtu=1600, macsec=None, device="eth0"):
        """`macsec`: our line's section; then `device` is the guest's MACsec device, already there."""
        self.tunnels = tunnels
        self.box = bench.box
        self.device = device
        self.keys = [[os.urandom(esp_key_length(t.algorithm)).hex() for _ in range(2)] for t in tunnels]
        self.guest = bench.start({"site": self.line(macsec)}, wan_mtu)
        self.xfrm = Xfrm(self.guest)
        self.set_up_guest(wan_mtu - (32 if macsec else 0))
        self.box.host_addresses("10.1.0.2/24", "fd00:1::2/64",
                                routes=[("10.2.0.0/16", LAN_GATEWAY[4]), ("fd00:2::/32", LAN_GATEWAY[6])])

    def line(self, macsec):
        sas, policies = {}, {}
        for number, (tunnel, (out_key, in_key)) in enumerate(zip(self.tunnels, self.keys)):
            common = {"algorithm": tunnel.algorithm, "esn": tunnel.esn}
            if tunnel.udp:
                common["udp-encapsulation"] = {"source-port": 4500, "destination-port": 4500}
            sas[f"out{number}"] = {"direction": "out", "spi": 0x1000 + 2 * number, "key": out_key,
                                   "source": OURS[tunnel.outer], "destination": THEIRS[tunnel.outer], **common,
                                   **dict(tunnel.options), "next-sn": tunnel.first}
            sas[f"in{number}"] = {"direction": "in", "spi": 0x1001 + 2 * number, "key": in_key,
                                  "source": THEIRS[tunnel.outer], "destination": OURS[tunnel.outer],
                                  "replay-window": tunnel.window, **common}
            policies[f"tunnel{number}"] = {
                "action": "protect", "sa": f"out{number}", "inbound-sa": f"in{number}",
                "source": [LAN[tunnel.inner]], "destination": [remote(number, tunnel.inner)[1]]}
        line = {"stages": ["esp"], "inside": ["lan"], "outside": ["wan"],
                "gateway": {"addresses": {"lan": ["10.1.0.1/24", "fd00:1::1/64"],
                                          "wan": ["192.0.2.1/24", "2001:db8::1/64"]},
                            "routes": {"10.2.0.0/16": {"via": THEIRS[4], "port": "wan"},
                                       "fd00:2::/32": {"via": THEIRS[6], "port": "wan"}}},
                "esp": {"sas": sas, "policies": policies}}
        if macsec:
            line["stages"].append("macsec")
            line["macsec"] = macsec
        return line

    def set_up_guest(self, mtu):
        device = self.device
        self.guest.check(f"sysctl -qw net.ipv6.conf.lo.disable_ipv6=0 net.ipv6.conf.{device}.disable_ipv6=0 "
                         f"net.ipv6.conf.{device}.accept_dad=0")
        commands = [f"link set {device} mtu {mtu} up", f"addr add 192.0.2.2/24 dev {device}",
                    f"addr add 2001:db8::2/64 dev {device} nodad", "route add 10.1.0.0/24 via 192.0.2.1",
                    "route add fd00:1::/64 via 2001:db8::1"]
        for number, (tunnel, (out_key, in_key)) in enumerate(zip(self.tunnels, self.keys)):
            address, prefix = remote(number, tunnel.inner)
            commands.append(f"addr add {address}/{32 if tunnel.inner == 4 else 128} dev lo")
            # reqid ties a policy to its SA: several share the outer addresses.
            common = {"reqid": number + 1, "esn": tunnel.esn, "window": tunnel.window or (1 if tunnel.esn else 0),
                      "encap": (4500, 4500) if tunnel.udp else None}
            ours, theirs = OURS[tunnel.outer], THEIRS[tunnel.outer]
            commands += [
                self.xfrm.sa_command(ours, theirs, 0x1000 + 2 * number, tunnel.algorithm,
                                     tunnel.peer_receives_key or out_key, flags=("af-unspec",), **common),
                self.xfrm.sa_command(theirs, ours, 0x1001 + 2 * number, tunnel.algorithm,
                                     tunnel.peer_sends_key or in_key, flags=("af-unspec",), sent=tunnel.first - 1,
                                     **common),
                *self.xfrm.policy_commands("out", prefix, LAN[tunnel.inner], theirs, ours, number + 1),
                *self.xfrm.policy_commands("in", LAN[tunnel.inner], prefix, ours, theirs, number + 1)]
        self.guest.ip_batch(commands)
        if any(tunnel.udp for tunnel in self.tunnels):
            for version in {tunnel.outer for tunnel in self.tunnels if tunnel.udp}:
                self.xfrm.hold_encap_socket(4500, version)

    def first_reply(self, number):
        """Until the tunnel answers: neighbours are resolved, and the kernel tests algorithms at first use."""
        address, _ = remote(number, self.tunnels[number].inner)
        wait_for(lambda: self.box.ping(address, timeout=2), f"the first reply of tunnel {number}", timeout=20)

    def lost(self, number, sizes, **options):
        """Sizes of echo requests from the inside host that went unanswered, of those that fit its link."""
        inner = self.tunnels[number].inner
        address, _ = remote(number, inner)
        sizes = [size for size in sizes if size + (28 if inner == 4 else 48) <= 1500]
        return [size for size in sizes if self.box.ping(address, size=size, **options) != 1]

    def lost_from_guest(self, number, sizes):
        inner = self.tunnels[number].inner
        address, _ = remote(number, inner)
        return self.guest.check("; ".join(
            f"ping -q -n -c 1 -W 3 -I {address} -s {size} {HOST[inner]} >/dev/null || echo {size}"
            for size in sizes) + "; true", timeout=20 + 5 * len(sizes)).split()

    def expect_same_counts(self, number):
        """Packets that one end sealed are those that the other accepted."""
        def counted():
            ours, theirs = self.box.sas(), self.xfrm.states()
            return theirs, [ours[f"out{number}"]["packets"], ours[f"in{number}"]["packets"]], \
                [theirs[0x1000 + 2 * number]["packets"], theirs[0x1001 + 2 * number]["packets"]]

        try:
            wait_for(lambda: (found := counted())[1] == found[2], "equal counts", timeout=5)
        except AssertionError:
            pass
        theirs, mine, linux = counted()
        expect(mine, linux, "packets out and in, ours against Linux's")
        for spi in (0x1000 + 2 * number, 0x1001 + 2 * number):
            expect({theirs[spi][key] for key in ("outside_window", "replayed", "failed")}, {0}, f"refused by SPI {spi:#x}")


ALGORITHMS = [Tunnel(algorithm) for algorithm in esp_algorithms()]


def algorithm(bench, number):
    site = bench.shared("esp-algorithms", lambda: Site(bench, ALGORITHMS))
    drops = site.box.drops()
    site.first_reply(number)
    expect(site.lost(number, SIZES), [], "sizes lost from the inside host")
    expect(site.lost_from_guest(number, FEW_SIZES), [], "sizes lost from the guest")
    site.expect_same_counts(number)
    expect(site.box.drops(), drops, "our drops")


FAMILIES = [Tunnel(algorithm, inner=inner, outer=outer)
            for algorithm in ("aes-gcm-256", "aes-cbc-256-hmac-sha256-128") for inner, outer in ((6, 4), (4, 6), (6, 6))]
FAMILIES += [Tunnel("aes-gcm-128", esn=False, window=32), Tunnel("aes-cbc-128-hmac-sha1-96", esn=False, window=32)]


def family(bench, number):
    site = bench.shared("esp-families", lambda: Site(bench, FAMILIES))
    site.first_reply(number)
    expect(site.lost(number, SIZES), [], "sizes lost from the inside host")
    expect(site.lost_from_guest(number, FEW_SIZES), [], "sizes lost from the guest")
    site.expect_same_counts(number)


def esp_frames(site, sender_mac):
    """Runs three pings and returns the ESP frames that left this sender."""
    capture = Capture(site.guest, "eth0", f"(esp or udp port 4500) and ether src {sender_mac}")
    expect(site.box.ping(remote(0, 4)[0], count=3), 3, "replies")
    return capture.frames()


def replay(bench, window):
    from ours import GUEST_MAC, WAN_MAC
    site = Site(bench, [Tunnel(window=window, esn=window > 32)])
    site.first_reply(0)
    capture = Capture(site.guest, "eth0", "esp")
    expect(site.box.ping(remote(0, 4)[0], count=3), 3, "replies")
    frames = capture.frames()
    theirs = [frame for frame in frames if frame[6:12] == octets(GUEST_MAC)]
    ours = [frame for frame in frames if frame[6:12] == octets(WAN_MAC)]
    expect((len(ours), len(theirs)), (3, 3), "frames captured")
    send_from_guest(site.guest, "eth0", theirs)
    site.box.inject(ours)
    wait_for(lambda: site.box.drops() == {"EspReplay": 3}, "our EspReplay inside the window to be 3")
    wait_for(lambda: site.xfrm.states()[0x1000]["replayed"] == 3, "Linux's replays inside the window to be 3")
    # Left of the window. With ESN such a number is taken for one of the next 2^32 (RFC 4303 A2.2): the ICV refuses it.
    expect(site.box.ping(remote(0, 4)[0], count=window + 8), window + 8, "replies")
    send_from_guest(site.guest, "eth0", theirs)
    site.box.inject(ours)
    drops, name = (({"EspReplay": 3, "EspAuthFailed": 3}, "failed") if site.tunnels[0].esn else
                   ({"EspReplay": 6}, "outside_window"))
    wait_for(lambda: site.box.drops() == drops, f"our drops left of the window to be {drops}")
    wait_for(lambda: site.xfrm.states()[0x1000][name] == 3, f"Linux's {name} left of the window to be 3")


def wrong_key(bench):
    key = os.urandom(esp_key_length("aes-gcm-256")).hex()
    mac_key = os.urandom(esp_key_length("aes-cbc-256-hmac-sha256-128")).hex()
    site = Site(bench, [Tunnel(peer_sends_key=key), Tunnel("aes-cbc-256-hmac-sha256-128", peer_sends_key=mac_key),
                        Tunnel(peer_receives_key=key), Tunnel("aes-cbc-256-hmac-sha256-128", peer_receives_key=mac_key)])
    for number in (0, 1):
        expect(site.box.ping(remote(number, 4)[0], count=3, timeout=1), 0, "replies sealed with a wrong key")
    sent = sum(site.xfrm.states()[0x1001 + 2 * number]["packets"] for number in (0, 1))
    expect(sent >= 2, True, "packets that Linux sent")
    wait_for(lambda: site.box.drops() == {"EspAuthFailed": sent}, f"our EspAuthFailed to be {sent}")
    for number in (2, 3):
        expect(site.box.ping(remote(number, 4)[0], count=3, timeout=1), 0, "replies to what cannot be opened")
        state = site.xfrm.states()[0x1000 + 2 * number]
        expect((state["packets"], state["failed"]), (0, 3), f"accepted and failed at Linux, tunnel {number}")


def refused(bench):
    """The same wrong packets to both ends."""
    from ours import GUEST_MAC, WAN_MAC
    site = Site(bench, [Tunnel(), Tunnel("aes-cbc-128-hmac-sha256-128"), Tunnel("aes-gmac-256")])
    site.first_reply(0)
    for number in range(len(site.tunnels)):
        capture = Capture(site.guest, "eth0", "esp")
        expect(site.box.ping(remote(number, 4)[0]), 1, "replies")
        frames = capture.frames()
        (ours,) = [frame for frame in frames if frame[6:12] == octets(WAN_MAC)]
        (theirs,) = [frame for frame in frames if frame[6:12] == octets(GUEST_MAC)]

        def changed(frame, kind):
            at = {"data": 70, "icv": len(frame) - 1, "spi": 35, "sequence": 40}[kind]
            return frame[:at] + bytes([frame[at] ^ 0x40]) + frame[at + 1:]

        for kind, our_reason, their_counter in (("data", "EspAuthFailed", "XfrmInStateProtoError"),
                                                ("icv", "EspAuthFailed", "XfrmInStateProtoError"),
                                                ("sequence", "EspAuthFailed", "XfrmInStateProtoError"),
                                                ("spi", "EspUnknownSpi", "XfrmInNoStates")):
            before, stat = site.box.drops(), site.xfrm.statistics()

            def made(frame, kind=kind):
                # A sequence number ahead of the window, so that only the ICV can refuse it.
                frame = changed(frame, kind)
                return frame[:38] + b"\0\0\x01\0" + frame[42:] if kind in ("data", "icv") else frame

            send_from_guest(site.guest, "eth0", [made(theirs)])
            site.box.inject([made(ours)])
            wait_for(lambda: site.box.drops().get(our_reason, 0) == before.get(our_reason, 0) + 1,
                     f"our {our_reason} for {kind} of tunnel {number}")
            wait_for(lambda: site.xfrm.statistics()[their_counter] == stat[their_counter] + 1,
                     f"Linux's {their_counter} for {kind} of tunnel {number}")


def encapsulated(bench, outer):
    site = Site(bench, [Tunnel(udp=True, outer=outer), Tunnel("aes-cbc-256-hmac-sha256-128", udp=True, outer=outer)])
    site.first_reply(0)
    for number in (0, 1):
        expect(site.lost(number, SIZES), [], "sizes lost from the inside host")
        expect(site.lost_from_guest(number, FEW_SIZES), [], "sizes lost from the guest")
        site.expect_same_counts(number)
    capture = Capture(site.guest, "eth0", "udp port 4500")
    expect(site.box.ping(remote(0, 4)[0]), 1, "replies")
    expect(len(capture.frames()), 2, "datagrams on port 4500")


def inner_tos(frames):
    return [frame[15] for frame in frames]


def traffic_class(bench):
    """ECN and DSCP of the inner packet reach the outer one as RFC 6040 and RFC 4301 say, both ways."""
    from ours import GUEST_MAC, HOST_MAC
    site = Site(bench, [Tunnel()])
    address = remote(0, 4)[0]
    site.first_reply(0)
    for tos in (0x00, 0x01, 0x02, 0x03, 0xB8, 0xB9, 0xBA, 0xBB):
        capture = Capture(site.guest, "eth0", "esp")
        inside = site.box.watch_inside(f"icmp and src host {address}")
        expect(site.box.ping(address, options=("-Q", str(tos))), 1, f"replies with TOS {tos:#x}")
        outer = {frame[6:12] == octets(GUEST_MAC): frame[15] for frame in capture.frames()}
        expect(outer[False], tos, "outer TOS of ours")
        # Linux, too, puts CE on the outer header (RFC 6040 normal mode) and copies the rest.
        expect(outer[True] & 0xFC, tos & 0xFC, "outer DSCP of Linux's")
        expect(inner_tos(inside.frames()), [tos], "inner TOS that came back")
    expect(site.box.drops(), {}, "our drops")


def congestion(bench):
    """A router between the ends marks CE: ECT inner packets come out with CE, Not-ECT ones are dropped."""
    site = Site(bench, [Tunnel()])
    address = remote(0, 4)[0]
    site.first_reply(0)
    site.guest.script([
        "tc qdisc add dev eth0 clsact",
        "tc filter add dev eth0 egress protocol ip u32 match ip protocol 50 0xff "
        "action pedit munge ip dsfield set 3 retain 3 pipe csum ip"])
    for tos, expected in ((0x01, 0x03), (0x02, 0x03), (0x03, 0x03)):
        inside = site.box.watch_inside(f"icmp and src host {address}")
        expect(site.box.ping(address, options=("-Q", str(tos))), 1, f"replies with TOS {tos:#x}")
        expect(inner_tos(inside.frames()), [expected], f"inner TOS of {tos:#x} after CE")
    expect(site.box.ping(address, timeout=1), 0, "replies, Not-ECT marked CE")
    expect(site.box.drops(), {"EcnInvalid": 1}, "our drops")


def linux_decapsulation(bench):
    """What Linux makes of outer and inner ECN, cell by cell: only recorded where it deviates from RFC 6040."""
    site = Site(bench, [Tunnel()])
    address = remote(0, 4)[0]
    site.first_reply(0)
    # An address of the same box in between: our frames, their outer ECN rewritten, go back in.
    rfc = {(inner, outer): inner for inner in range(4) for outer in range(4)}
    rfc.update({(0, 3): None, (1, 3): 3, (2, 3): 3, (2, 1): 1})
    found = {}
    for inner in range(4):
        # The kernel must see each frame once, as changed: its own copy is kept from it.
        site.guest.check("tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress protocol ip u32 "
                         "match ip protocol 50 0xff action drop")
        capture = Capture(site.guest, "eth0", "esp")
        for _ in range(4):
            site.box.ping(address, timeout=0.2, options=("-Q", str(inner)))
        frames = capture.frames()
        site.guest.check("tc qdisc del dev eth0 clsact")
        expect(len(frames), 4, "frames to rewrite")
        for outer, frame in enumerate(frames):
            header = bytearray(frame[14:34])
            header[1] = (header[1] & 0xFC) | outer
            header[10:12] = b"\0\0"
            header[10:12] = struct.pack("!H", checksum(bytes(header)))
            capture = Capture(site.guest, "any", f"icmp and dst host {address}")
            site.box.inject([frame[:14] + bytes(header) + frame[34:]])
            wait_for(lambda: site.guest.run("ls -l /tmp/capture.pcap | awk '{exit !($5 > 24)}'")[0] == 0 or None
                     if outer != 3 or inner != 0 else True, "the opened packet")
            opened = capture.frames()
            # Linux cooked capture v2: 20 octets before the IP header.
            found[inner, outer] = opened[-1][21] & 3 if opened else None
    deviations = {f"inner {inner:02b}, outer {outer:02b}": f"{found[inner, outer]}, RFC 6040: {wanted}"
                  for (inner, outer), wanted in rfc.items() if found[inner, outer] != wanted}
    for cell in ((1, 3), (2, 3), (3, 3), (0, 0), (1, 1), (2, 2)):
        expect(found[cell], rfc[cell], f"Linux's inner ECN for (inner, outer) {cell}")
    return {"linux_deviates_from_rfc6040": deviations}


def fragmentation(bench):
    """DF is copied; what does not fit is refused with the right MTU or, without DF, gets through in pieces."""
    from ours import GUEST_MAC, WAN_MAC
    site = Site(bench, [Tunnel("aes-gcm-256"), Tunnel("aes-cbc-256-hmac-sha256-128"), Tunnel("chacha20-poly1305"),
                        Tunnel("null-hmac-sha512-256")], wan_mtu=1500)
    site.first_reply(0)
    # Octets of ESP around the padded payload: SPI and number, IV, ICV; alignment of the payload and its trailer.
    for number, (fixed, align) in enumerate(((8 + 8 + 16, 4), (8 + 16 + 16, 16), (8 + 8 + 16, 4), (8 + 32, 4))):
        address = remote(number, 4)[0]
        largest = (1500 - 20 - fixed) // align * align - 2  # inner packet that still fits
        for size in range(largest - 28 - 17, largest - 28 + 1):
            expect(site.box.ping(address, size=size, options=("-M", "do")), 1, f"replies, DF, inner {size + 28}")
        watch = site.box.watch_inside("icmp[icmptype] == icmp-unreach")
        site.box.ping(address, size=largest - 28 + 1, timeout=1, options=("-M", "do"))
        answers = watch.frames()
        expect(len(answers), 1, f"fragmentation needed for inner {largest + 1}")
        expect(struct.unpack_from("!H", answers[0], 14 + 20 + 6)[0], largest, "next-hop MTU told")
        site.box.enter_inside("ip", "route", "flush", "cache")
        expect(site.lost(number, (largest - 28 + 1, 1472), options=("-M", "dont")), [], "sizes lost without DF")
        expect(site.lost_from_guest(number, (1400, 1472)), [], "sizes lost from the guest")
    for option, wanted in (("do", 0x4000), ("dont", 0)):
        capture = Capture(site.guest, "eth0", f"esp and ether src {WAN_MAC}")
        expect(site.box.ping(remote(0, 4)[0], options=("-M", option)), 1, "replies")
        (frame,) = capture.frames()
        expect(struct.unpack_from("!H", frame, 20)[0] & 0x4000, wanted, f"outer DF for -M {option}")


def padded(bench):
    """Linux pads every inner packet to 1000 octets: on the wire all are of one size, and what comes out is exact."""
    from ours import GUEST_MAC
    length = 1000
    # Octets of ESP around the padded payload and its trailer; what those two are aligned to.
    around = ((Tunnel("aes-gcm-256"), 8 + 8 + 16, 4), (Tunnel("aes-cbc-256-hmac-sha256-128"), 8 + 16 + 16, 16),
              (Tunnel("aes-gcm-128", inner=6), 8 + 8 + 16, 4))
    site = Site(bench, [tunnel for tunnel, _, _ in around])
    for number, (tunnel, fixed, align) in enumerate(around):
        header = 20 if tunnel.inner == 4 else 40
        address, _ = remote(number, tunnel.inner)
        site.xfrm.pad(0x1001 + 2 * number, length)
        site.first_reply(number)
        outside = Capture(site.guest, "eth0", f"esp and ether src {GUEST_MAC}")
        inside = site.box.watch_inside(f"host {address}")
        sizes = [size for size in SIZES if size + 8 + header <= length]
        expect(site.lost(number, sizes), [], "sizes lost")
        # Requests and replies: but for the ICMP type and checksum they carry the same, and nothing follows it.
        messages = [frame[14 + header + 4:] for frame in inside.frames()]
        expect([len(message) for message in messages[::2]], [4 + size for size in sizes], "requests seen inside")
        expect(messages[1::2], messages[::2], "replies seen inside")
        on_the_wire = 14 + 20 + fixed + -(-(length + 2) // align) * align
        expect([len(frame) for frame in outside.frames()], [on_the_wire] * len(sizes), "sizes on the wire")
        expect(site.lost(number, [size for size in SIZES if size not in sizes]), [], "sizes lost, longer than the padding")
        site.expect_same_counts(number)
    expect(site.box.drops(), {}, "our drops")


def esn_wrap(bench):
    first = (1 << 32) - 200  # left of the end by more than the window: nobody guesses a high word of -1
    tunnels = [Tunnel(algorithm, first=first) for algorithm in ("aes-gcm-128", "aes-cbc-128-hmac-sha256-128")]
    site = Site(bench, tunnels)
    for number in range(len(tunnels)):
        site.first_reply(number)
        address, _ = remote(number, 4)
        for _ in range(6):
            expect(site.box.ping(address, count=50), 50, "replies")
        site.expect_same_counts(number)
        expect(site.box.sas()[f"out{number}"]["next_sn"] > 1 << 32, True, "our numbers went beyond 2^32")
    expect(site.box.drops(), {}, "our drops")


def cases():
    found = [Case(f"esp-{tunnel.algorithm}", "esp", f"{tunnel.algorithm}, ESN, IPv4 in IPv4, both ways, every size",
                  lambda bench, n=number: algorithm(bench, n), shares="esp-algorithms")
             for number, tunnel in enumerate(ALGORITHMS)]
    for number, tunnel in enumerate(FAMILIES):
        name = (f"v{tunnel.inner}-in-v{tunnel.outer}" if tunnel.esn else "noesn") + f"-{tunnel.algorithm}"
        text = f"{tunnel.algorithm}, {'ESN' if tunnel.esn else 'no ESN'}, IPv{tunnel.inner} in IPv{tunnel.outer}"
        found.append(Case(f"esp-{name}", "esp", text + ", both ways, every size",
                          lambda bench, n=number: family(bench, n), shares="esp-families"))

    def add(name, proves, function):
        found.append(Case(f"esp-{name}", "esp", proves, function))

    for window in (32, 64, 1024):
        add(f"replay-{window}", f"replays in and left of a window of {window} refused and counted by both ends",
            lambda bench, w=window: replay(bench, w))
    add("wrong-key", "a wrong key is counted by either end, AEAD and HMAC", wrong_key)
    add("refused", "corrupted packets and an unknown SPI are refused and counted by both ends", refused)
    add("esn-wrap", "ESN across 2^32, both ways, AEAD and HMAC", esn_wrap)
    for outer in (4, 6):
        add(f"udp-v{outer}", f"UDP encapsulation over IPv{outer}, both ways", lambda bench, o=outer: encapsulated(bench, o))
    add("traffic-class", "ECN and DSCP are copied to the outer header and back (RFC 6040)", traffic_class)
    add("congestion", "CE set on the way reaches the inner packet; with Not-ECT it is dropped (RFC 6040)", congestion)
    add("linux-ecn", "what Linux's decapsulation makes of each ECN cell", linux_decapsulation)
    add("tfc", "Linux pads for traffic flow confidentiality (XFRMA_TFCPAD): one size on the wire, exact packets inside", padded)
    add("fragmentation", "DF copied, MTU told exactly, fragments without DF", fragmentation)
    return found
