"""MKA of a wire against Debian's wpa_supplicant with its macsec_linux driver."""

import json
import os
import re
import signal
import subprocess

from harness import Case, expect, wait_for
from linux import Macsec, Place
from ours import WAN_MAC
from wpa import WpaSupplicant

HOST, PEER = "10.9.0.1", "10.9.0.2"


class Agreement:
    """Our wire and a wpa_supplicant that hold the same CAK."""

    def __init__(self, bench, our_priority, their_priority, cak_octets=16, settings=None):
        self.bench = bench
        self.box = bench.box
        self.guest = Place(bench.guest)
        self.cak, self.ckn = os.urandom(cak_octets).hex(), os.urandom(cak_octets).hex()
        mka = {"suites": ["gcm-aes-128"], "priority": our_priority,
               "keys": {"lab": {"cak": self.cak, "ckn": self.ckn}}, **(settings or {})}
        self.box.start({"wire": {"stages": ["macsec"], "inside": ["lan"], "outside": ["wan"],
                                 "macsec": {"sci": f"{WAN_MAC}/1", "replay-window": 64, "mka": mka}}}, 1532)
        self.box.host_addresses(f"{HOST}/24")
        self.guest.check("ip link set eth0 mtu 1532 up")
        self.kay = WpaSupplicant(bench.guest, "eth0", self.cak, self.ckn, their_priority)
        self.linux = Macsec(self.guest, "eth0")
        bench.on_failure.append(lambda: self.box.daemon.cli("show", "mka", check=False).stdout)
        bench.on_failure.append(lambda: "--- wpa_supplicant\n" + self.kay.log()[-5000:])
        self.kay.start()

    def up(self, timeout=30):
        """Until traffic passes; gives the guest its address."""
        self.kay.wait_for_session(timeout)
        self.guest.check(f"ip link set macsec0 mtu 1500; ip addr replace {PEER}/24 dev macsec0")
        wait_for(lambda: self.box.ping(PEER, timeout=1), "traffic after the session is up", timeout=10)
        return self


def session(bench, our_priority, their_priority, cak_octets=16):
    agreement = Agreement(bench, our_priority, their_priority, cak_octets).up()
    expect(agreement.box.ping(PEER, count=20), 20, "replies")
    expect(agreement.guest.ping(HOST, count=20), 20, "replies to the guest")
    log = agreement.kay.log()
    serving = "generated new SAK" in log
    expect(serving, their_priority < our_priority, "wpa_supplicant is the key server")
    text = json.dumps(agreement.box.daemon.show("mka"))
    for secret in (agreement.cak, *agreement.kay.saks()):
        expect(secret in text.lower(), False, "a key in `show mka`")


def restarted(bench, name):
    agreement = Agreement(bench, 16, 32).up()
    first = agreement.kay.saks()
    agreement.kay.stop(name)
    agreement.guest.run("ip link del macsec0")
    agreement.kay.start()
    agreement.kay.wait_for_new_sak(first)
    agreement.up()
    expect(agreement.box.ping(PEER, count=10), 10, "replies after the restart")


def flapped(bench):
    agreement = Agreement(bench, 16, 32).up()
    # Longer than the life time: both sides give the other up.
    agreement.guest.check("tc qdisc add dev eth0 clsact; "
                          "tc filter add dev eth0 egress matchall action drop; "
                          "tc filter add dev eth0 ingress matchall action drop; sleep 8", timeout=30)
    expect(agreement.box.ping(PEER, timeout=1), 0, "replies while the link is down")
    agreement.guest.check("tc qdisc del dev eth0 clsact")
    wait_for(lambda: agreement.box.ping(PEER, timeout=1), "traffic after the link is back", timeout=30)
    expect(agreement.box.ping(PEER, count=10), 10, "replies after the link is back")


def under_traffic(agreement, steps):
    """Runs `steps` while echoes go to the guest; every one must come back. Returns how many were sent.

    `steps` gets a function that waits until an echo sent from now on came back. The replies go to a file: a pipe that
    nobody reads fills up and stops ping without a word."""
    box = agreement.box
    path = box.lab.folder / "echoes.log"
    with path.open("w") as log:
        traffic = subprocess.Popen(["ip", "netns", "exec", box.inside, "ping", "-n", "-i", "0.02", "-W", "5", PEER],
                                   stdout=log)

    def answered():
        found, last = set(), 0
        for number in re.findall(r"icmp_seq=(\d+) ttl", path.read_text()):
            # 16 bits on the wire: what is nearest to the one before.
            last += (int(number) - last + 0x8000) % 0x10000 - 0x8000
            found.add(last)
        return found

    def flows():
        last = max(answered(), default=0)
        # Those on their way already do not count.
        wait_for(lambda: max(answered(), default=0) > last + 10, "echoes go on", timeout=10)

    try:
        flows()
        steps(flows)
        traffic.send_signal(signal.SIGINT)
        traffic.wait(timeout=20)
    finally:
        traffic.kill()
        traffic.wait()
    came = answered()
    sent = max(came)  # what was under way when ping was stopped does not count
    expect(sorted(set(range(1, sent + 1)) - came), [], f"echoes lost of {sent}")
    return sent


def renewed(bench, agreement, count, step):
    """SAKs renewed under traffic, each brought about by `step`: every echo comes back."""
    count = bench.rekeys or count
    agreement.up()
    before = len(agreement.kay.saks())

    def steps(flows):
        for _ in range(count):
            agreement.guest.check("sleep 3.5")  # the retire time of the SAK before: no rekey overtakes another
            known = agreement.kay.saks()
            step(agreement)
            agreement.kay.wait_for_new_sak(known, timeout=40)
            flows()

    sent = under_traffic(agreement, steps)
    saks = len(agreement.kay.saks()) - before
    expect(saks >= count, True, f"{saks} SAKs are {count} and more")
    return {"rekeys": saks, "echoes": sent}


def rekeyed(bench, count):
    """The command line asks for each."""
    result = renewed(bench, Agreement(bench, 16, 32), count,
                     lambda agreement: agreement.box.daemon.cli("rekey", "wire"))
    expect(result["rekeys"], bench.rekeys or count, "SAKs agreed on")
    return result


def worn_out(bench, count):
    """The PN reaches the threshold by the traffic alone."""
    return renewed(bench, Agreement(bench, 16, 32, settings={"rekey": {"pn-threshold": 220}}), count, lambda _: None)


def worn_out_server(bench, count):
    """wpa_supplicant is the key server, and its PN passes 0xC0000000."""
    agreement = Agreement(bench, 32, 16)

    def wear_out(agreement):
        agreement.guest.check("ip macsec set macsec0 tx sa $(ip macsec show macsec0 | awk '/TXSC/ {print $NF}') "
                              f"pn {0xC0000000 + 1}")

    result = renewed(bench, agreement, count, wear_out)
    expect("generated new SAK" in agreement.kay.log(), True, "wpa_supplicant made the SAKs")
    return result


def fallen_back(bench, our_priority, their_priority):
    """We prefer a suite that wpa_supplicant has not; the session takes the one that both have."""
    agreement = Agreement(bench, our_priority, their_priority,
                          settings={"suites": ["gcm-aes-xpn-256", "gcm-aes-128"]}).up()
    expect(agreement.box.ping(PEER, count=10), 10, "replies")
    (secy,) = agreement.box.daemon.show("secy")["secys"]
    expect("gcm-aes-128" in json.dumps(secy).lower(), True, "gcm-aes-128 is in use")


def stranger(bench):
    """A peer with another CAK under the same name: no session, nothing passes, its MKPDUs are refused."""
    agreement = Agreement(bench, 16, 32)
    agreement.kay.stop()
    other = WpaSupplicant(bench.guest, "eth0", os.urandom(16).hex(), agreement.ckn, 32).start()
    agreement.guest.check("sleep 8", timeout=20)
    code, _ = agreement.guest.run("ip macsec show | grep -q RXSC")
    expect(code, 1, "wpa_supplicant has a receive channel (0: it has)")
    agreement.guest.run(f"ip addr add {PEER}/24 dev eth0")
    expect(agreement.box.ping(PEER, timeout=1), 0, "replies without a session")
    other.stop()


def cases():
    found = [Case(f"mka-{name}", "mka", text, lambda bench, a=arguments: session(bench, *a)) for name, text, arguments in (
        ("server", "session with us as key server", (16, 32)),
        ("client", "session with wpa_supplicant as key server", (32, 16)),
        ("cak256", "session with a CAK and CKN of 32 octets", (16, 32, 32)))]
    found += [
        Case("mka-restarted", "mka", "wpa_supplicant ends and starts again", lambda bench: restarted(bench, "TERM")),
        Case("mka-crashed", "mka", "wpa_supplicant is killed and starts again", lambda bench: restarted(bench, "KILL")),
        Case("mka-flapped", "mka", "the link is down for longer than the life time", flapped),
        Case("mka-rekeyed", "mka", "SAKs renewed under traffic, no echo lost", lambda bench: rekeyed(bench, 10)),
        Case("mka-worn-out", "mka", "the PN reaches the threshold under traffic, SAKs renewed, no echo lost",
             lambda bench: worn_out(bench, 3)),
        Case("mka-worn-server", "mka", "as client: wpa_supplicant's PN passes the threshold under traffic, SAKs renewed, "
             "no echo lost", lambda bench: worn_out_server(bench, 3)),
        Case("mka-fallback-server", "mka", "we prefer XPN-256; as key server we take GCM-128 for wpa_supplicant",
             lambda bench: fallen_back(bench, 16, 32)),
        Case("mka-fallback-client", "mka", "we prefer XPN-256; as client we take wpa_supplicant's GCM-128",
             lambda bench: fallen_back(bench, 32, 16)),
        Case("mka-stranger", "mka", "a peer with another CAK of the same name gets no session", stranger)]
    return found
