"""Both layers at once: ESP tunnel packets inside MACsec frames, against Linux's two layers."""

import os

from harness import Case, expect, wait_for
from linux import Macsec, Place, Sa
from ours import GUEST_MAC, WAN_MAC
from raw import Capture
from cases.esp import FEW_SIZES, SIZES, Site, Tunnel
from cases.macsec import KEY_OCTETS


def both(bench, suite, tunnels):
    extended = "xpn" in suite
    our_sa, their_sa = (Sa(os.urandom(KEY_OCTETS[suite]).hex(), salt=os.urandom(12).hex() if extended else "",
                           ssci=number if extended else 0) for number in (1, 2))

    def ours(sa):
        return {"0": {"key": sa.key, **({"salt": sa.salt, "ssci": sa.ssci} if extended else {})}}

    guest = Place(bench.guest)
    # Promiscuous: every frame of ours is to reach the SecY, also multicast that nobody has joined yet.
    guest.check("ip link set eth0 mtu 1632 promisc on up")
    linux = Macsec(guest, "eth0")
    linux.set_up(suite, tx=their_sa, rx=our_sa, peer_mac=WAN_MAC, window=0, mtu=1600)
    site = Site(bench, tunnels, wan_mtu=1632, device="macsec0", macsec={
        "suite": suite, "sci": f"{WAN_MAC}/1", "replay-window": 0, "tx": {"encoding-sa": 0, "sas": ours(our_sa)},
        "rx": {"peer": {"sci": f"{GUEST_MAC}/1", "sas": ours(their_sa)}}})
    clear = Capture(guest, "eth0", "not ether proto 0x88e5")
    for number in range(len(tunnels)):
        site.first_reply(number)
        expect(site.lost(number, SIZES), [], "sizes lost from the inside host")
        expect(site.lost_from_guest(number, FEW_SIZES), [], "sizes lost from the guest")
        site.expect_same_counts(number)
    # ARP, ND and all else of the gateway's own is sealed too.
    expect(clear.frames(), [], "frames without a SecTAG on the wire")

    def settled():
        mine, theirs = site.box.secy(), linux.counters()
        return (mine["OutPktsEncrypted"], mine["InPktsOK"]) == (theirs["InPktsOK"], theirs["OutPktsEncrypted"])

    wait_for(settled, "equal MACsec counters")
    expect(site.box.drops(), {}, "our drops")


def cases():
    tunnels = [Tunnel("aes-gcm-256"), Tunnel("aes-gcm-128", inner=6, outer=6),
               Tunnel("aes-cbc-256-hmac-sha256-128", inner=6)]
    return [Case(f"both-{suite}", "both", f"three ESP tunnels inside {suite}, nothing clear on the wire",
                 lambda bench, suite=suite: both(bench, suite, tunnels)) for suite in ("gcm-aes-128", "gcm-aes-xpn-256")]
