"""The peers on their own, inside the guest: what later cases rely on works without us."""

import contextlib
import io
import os

from harness import Case, expect
from linux import Macsec, Sa, Xfrm, esp_key_length, mac_of, wire_between
from wpa import WpaSupplicant

MACSEC_SUITES = {"gcm-aes-128": 16, "gcm-aes-256": 32, "gcm-aes-xpn-128": 16, "gcm-aes-xpn-256": 32}

# One of each kind: what they have in common is the kernel's code, and the cases with us use all.
ESP_KINDS = ("aes-gcm-256", "aes-gmac-128", "chacha20-poly1305", "aes-cbc-256-hmac-sha256-128", "null-hmac-sha1-96")


def macsec(bench, suite):
    left, right = wire_between(bench.guest, "left", "right")
    keys = [os.urandom(MACSEC_SUITES[suite]).hex() for _ in range(2)]
    extended = "xpn" in suite
    # XPN starts just below 2^32, so that the low half wraps under way.
    sas = [Sa(key, pn=0xFFFFFFFA if extended else 1, salt=os.urandom(12).hex() if extended else "",
              ssci=index if extended else 0) for index, key in enumerate(keys, 1)]
    ends = []
    for place, tx, rx, peer, address in ((left, sas[0], sas[1], right, "10.9.0.1/24"),
                                         (right, sas[1], sas[0], left, "10.9.0.2/24")):
        end = Macsec(place, f"p{place.netns}")
        end.set_up(suite, tx, rx, mac_of(peer.netns), window=32, addresses=[address])
        ends.append(end)
    expect(left.ping("10.9.0.2", count=12), 12, "replies")
    for end in ends:
        counters = end.counters()
        expect(counters["InPktsOK"] >= 12, True, f"InPktsOK of {counters}")
        expect(counters["InPktsNotValid"] + counters["InPktsLate"], 0, "refused frames")


def xfrm(bench, family):
    left, right = wire_between(bench.guest, "left", "right")
    host, outer, inner, nodad = (("/32", "192.0.2.{}", "10.{}.0.1", "") if family == 4 else
                                 ("/128", "2001:db8::{}", "fd00:{}::1", "nodad"))
    ends = {1: Xfrm(left), 2: Xfrm(right)}
    for index, end in ends.items():
        other = 3 - index
        end.place.script([
            f"$IP addr add {outer.format(index)}{'/24' if family == 4 else '/64'} dev p{end.place.netns} {nodad}",
            f"$IP addr add {inner.format(index)}{host} dev lo",
            f"$IP route add {inner.format(other)}{host} via {outer.format(other)} src {inner.format(index)}"])
    for algorithm in ESP_KINDS if family == 4 else ESP_KINDS[:1]:
        keys = {index: os.urandom(esp_key_length(algorithm)).hex() for index in ends}
        for index, end in ends.items():
            other = 3 - index
            commands = [end.sa_command(outer.format(a), outer.format(b), 0x1000 + a, algorithm, keys[a], esn=True)
                        for a, b in ((index, other), (other, index))]
            for direction, a, b in (("out", index, other), ("in", other, index)):
                commands += end.policy_commands(direction, inner.format(a) + host, inner.format(b) + host,
                                                outer.format(a), outer.format(b))
            end.apply(["xfrm state flush", "xfrm policy flush"] + commands)
        expect(left.ping(inner.format(2), count=2), 2, f"replies with {algorithm}")
        for index, end in ends.items():
            for spi, state in end.states().items():
                expect((state["packets"], state["failed"]), (2, 0), f"packets of {spi:#x} at end {index}, {algorithm}")


def mka(bench, cak_octets):
    left, right = wire_between(bench.guest, "left", "right")
    cak, ckn = os.urandom(cak_octets).hex(), os.urandom(cak_octets).hex()
    kays = [WpaSupplicant(bench.guest, f"p{place.netns}", cak, ckn, priority, netns=place.netns).start()
            for place, priority in ((left, 16), (right, 32))]
    for kay in kays:
        bench.on_failure.append(lambda kay=kay: kay.log()[-4000:])
        kay.wait_for_session()
    for place, address in ((left, "10.9.0.1/24"), (right, "10.9.0.2/24")):
        place.check(f"ip addr add {address} dev macsec0")
    expect(left.ping("10.9.0.2", count=3), 3, "replies")
    expect(kays[0].saks(), kays[1].saks(), "SAKs of both")
    for kay in kays:
        kay.stop()


def prompt(bench):
    """What --shell offers: commands in the guest, one after the other, until the end of input."""
    guest = bench.guest  # booted, with what it says of that

    def typed(*lines):
        given, shown = iter(lines), io.StringIO()

        def read(_):
            line = next(given, None)
            if line is None:
                raise EOFError
            return line

        with contextlib.redirect_stdout(shown):
            guest.prompt(read)
        return shown.getvalue().splitlines()[1:]  # behind the explanation

    expect(typed("uname -n; echo $((40 + 2))", "", "printf cut; exit 3", "cat /etc/debian_version >/dev/null"),
           [guest.check("uname -n").strip(), "42", "cut", "exit code 3", ""], "what is shown")
    expect(typed("exit", "echo never"), [], "what is shown after exit")


def ike(bench):
    left, right = wire_between(bench.guest, "left", "right")
    for index, place in ((1, left), (2, right)):
        place.check(f"ip addr add 192.0.2.{index}/24 dev p{place.netns}")
        place.check(f"ip addr add 10.{index}.0.1/32 dev lo")
        place.check(f"ip route add 10.{3 - index}.0.1/32 via 192.0.2.{3 - index} src 10.{index}.0.1")
        bench.charon(place, index, local=f"192.0.2.{index}", remote=f"192.0.2.{3 - index}",
                     local_subnet=f"10.{index}.0.1/32", remote_subnet=f"10.{3 - index}.0.1/32")
    output = left.check("swanctl --initiate --uri unix:///tmp/charon-1.vici --child site", timeout=60)
    expect("initiate completed successfully" in output, True, output)
    expect(left.ping("10.2.0.1", count=3), 3, "replies")


def cases():
    found = [Case(f"peer-{suite}", "peer", "two SecYs of Linux", lambda bench, suite=suite: macsec(bench, suite))
             for suite in MACSEC_SUITES]
    found += [Case(f"peer-esp-v{family}", "peer", f"two XFRM ends of Linux over IPv{family}",
                   lambda bench, family=family: xfrm(bench, family)) for family in (4, 6)]
    found += [Case(f"peer-mka-cak{8 * length}", "peer", "two wpa_supplicants", lambda bench, n=length: mka(bench, n))
              for length in (16, 32)]
    found.append(Case("peer-prompt", "peer", "the prompt of --shell", prompt))
    found.append(Case("peer-ikev2", "peer", "two strongSwan daemons", ike))
    return found
