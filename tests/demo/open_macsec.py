"""Opens the SecTAGs of a capture with python-cryptography: an eye that shares no code with Sealwire.

IEEE 802.1AE-2018 clause 9 (SecTAG), 10.7.8 and 14 (cipher suites). PNs above 2^32 are not recovered: a capture starts
with its session.
"""

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.utils import RawPcapReader, RawPcapWriter

ETHERTYPE_MACSEC = 0x88E5
ICV = 16


@dataclass
class Sa:
    """A key as its receiver knows it; `salt` and `ssci` for the XPN suites only."""

    key: bytes
    salt: bytes = b""
    ssci: int = 0

    def nonce(self, sci, pn):
        if not self.salt:
            return sci + struct.pack("!I", pn)
        return bytes(a ^ b for a, b in zip(self.salt, struct.pack("!IQ", self.ssci, pn)))


def open_frame(frame, sas):
    """The clear frame behind a sealed one, or None when it is not MACsec. `sas` maps (SCI octets, AN) to Sa."""
    if struct.unpack_from("!H", frame, 12)[0] != ETHERTYPE_MACSEC:
        return None
    tci, short_length, pn = struct.unpack_from("!BBI", frame, 14)
    if not tci & 0x20:
        raise ValueError("frame without an SCI: this reader wants include-sci")
    sci, start = frame[20:28], 28
    end = start + short_length + ICV if short_length else len(frame)
    sa = sas[(sci, tci & 3)]
    return frame[:12] + AESGCM(sa.key).decrypt(sa.nonce(sci, pn), frame[start:end], frame[:start])


def open_capture(source, target, sas):
    """Writes what the sealed frames of `source` carry to `target`; returns (opened, refused, other)."""
    opened = refused = other = 0
    writer = RawPcapWriter(str(target), linktype=1)
    for frame, _ in RawPcapReader(str(source)):
        try:
            clear = open_frame(frame, sas)
        except (InvalidTag, KeyError):
            refused += 1
            continue
        if clear is None:
            other += 1
            continue
        opened += 1
        writer.write(clear)
    writer.close()
    return opened, refused, other
