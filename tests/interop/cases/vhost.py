"""The guest at a vhost-user port of ours: its packets lie in memory that both share, no kernel carries them.

The second case starts sealwired anew; the guest runs on and finds the port again. Until it has, what we send is
dropped as TxFull: counts are taken from the first reply on.
"""

from harness import Case, expect, wait_for
from cases import esp, macsec


def counted(bench, count, exchange, packets=None):
    """Runs `exchange`: each end opens what the other seals, to the octet; with `packets`, so many each way.

    `count` gives, by way, what the one end sealed and the other opened: both as (packets, octets)."""
    def since():
        return {way: [tuple(after - start for after, start in zip(now, then)) for now, then in zip(ends, before[way])]
                for way, ends in count().items()}

    before, drops = count(), bench.box.drops()
    exchange()
    try:
        wait_for(lambda: all(sealed == opened for sealed, opened in since().values()), "equal counts", timeout=5)
    except AssertionError as error:
        raise AssertionError(f"{error}: sealed and opened {since()}") from None
    if packets is not None:
        expect({way: sealed[0] for way, (sealed, _) in since().items()}, dict.fromkeys(before, packets), "packets sealed")
    expect(bench.box.drops(), drops, "our drops")


def over_macsec(bench):
    wire = macsec.Wire(bench, macsec.Variant("gcm-aes-256"))

    def count():
        (our_out, our_in), (their_out, their_in) = (
            [(end["OutPktsEncrypted"], end["OutOctetsEncrypted"]), (end["InPktsOK"], end["InOctetsDecrypted"])]
            for end in (wire.box.secy(), wire.linux.counters()))
        return {"to Linux": (our_out, their_in), "to us": (their_out, our_in)}

    wait_for(lambda: wire.box.ping(macsec.PEER, timeout=1), "the first reply", timeout=20)
    counted(bench, count, wire.sweep)
    counted(bench, count, lambda: macsec.transfer(wire))


def over_esp(bench):
    site = esp.Site(bench, [esp.Tunnel(), esp.Tunnel("aes-cbc-256-hmac-sha256-128")])
    for number in range(len(site.tunnels)):
        def count(out=f"out{number}", back=f"in{number}", out_spi=0x1000 + 2 * number, back_spi=0x1001 + 2 * number):
            ours = {name: (sa["packets"], sa["octets"]) for name, sa in site.box.sas().items()}
            theirs = {spi: (sa["packets"], sa["bytes"]) for spi, sa in site.xfrm.states().items()}
            return {"to Linux": (ours[out], theirs[out_spi]), "to us": (theirs[back_spi], ours[back])}

        def exchange(number=number):
            expect(site.lost(number, esp.SIZES), [], "sizes lost from the inside host")
            expect(site.lost_from_guest(number, esp.FEW_SIZES), [], "sizes lost from the guest")

        site.first_reply(number)
        counted(bench, count, exchange, packets=len(esp.SIZES) + len(esp.FEW_SIZES))


def cases():
    return [Case("vhost-macsec", "vhost", "gcm-aes-256, every size and TCP, both ways, equal counts from the first reply on",
                 over_macsec, vhost_user=True),
            Case("vhost-esp", "vhost", "two tunnels, sealwired started anew, every size, both ways, exact counts", over_esp,
                 vhost_user=True)]
