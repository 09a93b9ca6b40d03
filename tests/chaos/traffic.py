"""Numbered traffic between two sites of [esp, macsec], and an observer of the wire between them.

As a program it is one end of either, inside a namespace; each ends at SIGTERM and then says in JSON what it saw:
`send ADDRESS PORT RATE`, `receive PORT`, `watch INTERFACE FILE`.
"""

import collections
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))
import lab as labs  # noqa: E402

MARKER = b"in-clear-only-inside"  # in every packet: what must never be seen on the wire
ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS, PACKET_OUTGOING, SO_RCVBUFFORCE = 263, 6, 4, 33
ADDRESS = {"a": "10.1.0.2", "b": "10.2.0.2"}
PEER = {"a": "b", "b": "a"}


class Ended(BaseException):
    pass


def end(*_):
    raise Ended


def ready():
    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)


def send(address, port, rate):
    """Packets numbered from 0, `rate` a second. Where it was not let run it does not catch up in one burst."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    number = unsent = 0
    sizes = (64, 200, 700, 1200)
    try:
        ready()
        due = time.monotonic()
        while True:
            payload = struct.pack("!Q", number) + MARKER
            try:
                out.sendto(payload.ljust(sizes[number % len(sizes)], b"."), (address, port))
            except OSError:
                unsent += 1
            number += 1
            due = max(due + 1 / rate, time.monotonic() - 5 / rate)
            time.sleep(max(0.0, due - time.monotonic()))
    except Ended:
        print(json.dumps({"sent": number, "unsent": unsent}), flush=True)


def receive(port):
    source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    source.bind(("0.0.0.0", port))
    seen, late, repeated, foreign, gaps, highest = set(), 0, 0, 0, [], -1
    try:
        ready()
        while True:
            data = source.recv(2048)
            number = struct.unpack("!Q", data[:8])[0]
            if not data.startswith(MARKER, 8):
                foreign += 1
            elif number in seen:
                repeated += 1
            else:
                seen.add(number)
                if number < highest:
                    late += 1
                elif number > highest + 1:
                    gaps.append([highest + 1, number - 1])
                highest = max(highest, number)
    except Ended:
        print(json.dumps({"received": len(seen), "late": late, "repeated": repeated, "foreign": foreign,
                          "gaps": gaps, "highest": highest}), flush=True)


def watch(interface, file):
    """Writes each frame that arrives at an interface, behind its length, and keeps on when the link goes down."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    tap.bind((interface, ETH_P_ALL))
    with open(file, "wb") as out:
        try:
            ready()
            while True:
                try:
                    frame, origin = tap.recvfrom(65536)
                except OSError:  # the link is down
                    continue
                if origin[2] != PACKET_OUTGOING:
                    out.write(struct.pack("!H", len(frame)) + frame)
        except Ended:
            pass
    _, missed = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(json.dumps({"missed": missed}), flush=True)


class End:
    """One of the programs above, running in a namespace."""

    def __init__(self, lab, namespace, *words):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "/usr/bin/python3", Path(__file__).resolve(), *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        lab.processes.append(self.process)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{words} did not start")

    def finish(self):
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return json.loads(out)


class Stream:
    """Numbered packets from one site's host to the other's, until `finish`, which tells both ends' figures together."""

    ports = 7000

    def __init__(self, lab, site, rate=300):
        Stream.ports += 1
        self.lab = lab
        self.receiver = End(lab, lab.hosts[PEER[site]], "receive", Stream.ports)
        self.sender = End(lab, lab.hosts[site], "send", ADDRESS[PEER[site]], Stream.ports, rate)

    def finish(self, drain=0.6):
        told = self.sender.finish()
        time.sleep(drain)
        told.update(self.receiver.finish())
        # The sender may have been ended between sending a packet and counting it.
        told["sent"] = max(told["sent"], told["highest"] + 1)
        told["lost"] = told["sent"] - told["unsent"] - told["received"]
        return told


Sealed = collections.namedtuple("Sealed", "an pn spi sn")


class Observer:
    """Watches both directions of the wire between the sites.

    `sealed()` opens all that was seen, with the MACsec keys of the example configuration, and fails on any frame that
    is not what only it may be: an authentic MACsec frame around ESP, or around ARP or ND.
    """

    def __init__(self, lab, further=None):
        """`further`: configuration text by site, for MACsec SAs that the example does not have."""
        self.lab = lab
        self.texts = {site: (labs.ROOT / "config" / "examples" / f"site-{site}.yaml").read_text()
                      + (further or {}).get(site, "") for site in "ab"}
        # What a site sends is seen where it arrives.
        self.files = {site: lab.folder / f"wire-from-{site}" for site in "ab"}
        self.ends = {site: End(lab, lab.boxes[PEER[site]], "watch", f"sw-{PEER[site]}-wan", self.files[site])
                     for site in "ab"}

    def finish(self):
        """The packets of each site in wire order."""
        for end_of_wire in self.ends.values():
            missed = end_of_wire.finish()["missed"]
            if missed:
                raise AssertionError(f"the observer itself missed {missed} frames")
        return {site: list(self.sealed(site)) for site in "ab"}

    def sealed(self, site):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sas = {}
        pattern = r'([0-3]):[\s{]+key: "([0-9a-f]{64})",?\s+salt: "([0-9a-f]{24})",?\s+ssci: (\d+)'
        for an, key, salt, ssci in re.findall(pattern, self.texts[site]):
            sas.setdefault(int(an), (AESGCM(bytes.fromhex(key)), int(salt, 16), int(ssci)))
        data = self.files[site].read_bytes()
        at = 0
        while at < len(data):
            length = struct.unpack_from("!H", data, at)[0]
            frame = data[at + 2:at + 2 + length]
            at += 2 + length
            if not frame:  # an empty record, seen once when the link went down; not a frame
                continue
            if frame[12:14] != b"\x88\xe5" or MARKER in frame:
                raise AssertionError(f"in clear on the wire: {frame.hex()}")
            tag_end = 28 if frame[14] & 0x20 else 20
            pn = int.from_bytes(frame[16:20], "big")
            gcm, salt, ssci = sas[frame[14] & 3]
            nonce = ((ssci << 64 | pn) ^ salt).to_bytes(12, "big")
            end = tag_end + frame[15] + 16 if frame[15] else length
            inner = gcm.decrypt(nonce, frame[tag_end:end], frame[:tag_end])
            if MARKER in inner:
                raise AssertionError(f"no ESP inside MACsec: {inner.hex()}")
            arp = inner[:2] == b"\x08\x06"
            neighbour_discovery = inner[:2] == b"\x86\xdd" and inner[8] == 58 and 133 <= inner[42] <= 137
            if arp or neighbour_discovery:
                yield Sealed(frame[14] & 3, pn, None, None)
            elif inner[:2] == b"\x08\x00" and inner[11] == 50:
                yield Sealed(frame[14] & 3, pn, *struct.unpack("!II", inner[22:30]))
            else:
                raise AssertionError(f"neither ESP, ARP nor ND inside MACsec: {inner.hex()}")


def assert_numbers_used_once(case, seen):
    """No PN and no SN under one key twice, and both rising on the wire; `seen` is what an Observer saw of one site."""
    for an in {s.an for s in seen}:
        pns = [s.pn for s in seen if s.an == an]
        case.assertEqual(len(pns), len(set(pns)), "a packet number was used twice")
        case.assertEqual(pns, sorted(pns), "packet numbers rise on the wire")
    for spi in {s.spi for s in seen} - {None}:
        sns = [s.sn for s in seen if s.spi == spi]
        case.assertEqual(len(sns), len(set(sns)), "a sequence number was used twice")
        case.assertEqual(sns, sorted(sns), "sequence numbers rise on the wire")


if __name__ == "__main__":
    {"send": lambda a, p, r: send(a, int(p), float(r)), "receive": lambda p: receive(int(p)), "watch": watch}[
        sys.argv[1]](*sys.argv[2:])
