"""MACsec frames by scapy (its MACsecSA), for the modes it has no words for too: ES, SCB, VLAN tags in clear, padding."""

import functools
import struct
import warnings

from scapy.contrib.macsec import MACsec, MACsecSA
from scapy.layers.l2 import Ether
from scapy.packet import Raw

ICV = 16


def quiet(function):
    """MACsecSA uses names of fields that scapy itself has deprecated."""

    @functools.wraps(function)
    def call(*arguments, **named):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return function(*arguments, **named)

    return call


class Channel:
    """One direction of a secure channel as one side sees it."""

    def __init__(self, suite, sci, an, sak, salt=None, ssci=None, mode="sci", confidential=True, offset=0, vlan=0):
        self.mode, self.confidential, self.offset, self.vlan = mode, confidential, offset, vlan
        self.xpn = "xpn" in suite
        self.sa = MACsecSA(sci=sci, an=an, pn=1, key=sak, icvlen=ICV, encrypt=confidential, send_sci=mode == "sci",
                           xpn_en=self.xpn, ssci=ssci, salt=salt)

    def _tag_length(self):
        return 16 if self.sa.send_sci else 8

    def _clear(self, frame):
        """How many tags of the frame stay in clear."""
        count = 0
        while count < self.vlan and frame[12 + 4 * count : 14 + 4 * count] in (b"\x81\x00", b"\x88\xa8"):
            count += 1
        return count

    def _associated(self, secure_length):
        # scapy counts from the frame's start; its data starts behind the SecTAG.
        return 12 + self._tag_length() + min(self.offset, secure_length) if self.confidential else None

    @quiet
    def seal(self, frame, pn, pad=0):
        """The MACsec frame that carries `frame` under `pn`, followed by `pad` octets of Ethernet padding."""
        end = 12 + 4 * self._clear(frame)
        tags, bare = frame[12:end], frame[:12] + frame[end:]
        packet = Ether(dst=bare[:6], src=bare[6:12], type=struct.unpack("!H", bare[12:14])[0])
        if len(bare) > 14:
            packet = packet / Raw(bare[14:])
        self.sa.pn = pn
        tagged = self.sa.encap(packet)
        tagged[MACsec].ES = self.mode == "es"
        tagged[MACsec].SCB = self.mode == "scb"
        sealed = bytes(self.sa.encrypt(tagged, assoclen=self._associated(len(bare) - 12)))
        return sealed[:12] + tags + sealed[12:] + bytes(pad)

    @quiet
    def open(self, frame, pn_high=0):
        """(frame, PN) of a MACsec frame; raises when the ICV is wrong."""
        end = 12
        while frame[end : end + 2] in (b"\x81\x00", b"\x88\xa8"):
            end += 4
        tags, bare = frame[12:end], frame[:12] + frame[end:]
        packet = Ether(bare)
        tag = packet[MACsec]
        assert (tag.Ver, tag.reserved, tag.AN) == (0, 0, self.sa.an)
        assert (tag.SC, tag.ES, tag.SCB) == (self.mode == "sci", self.mode == "es", self.mode == "scb")
        assert (tag.E, tag.C) == ((1, 1) if self.confidential else (0, 0))
        if tag.SC:
            assert bytes(tag.SCI) == self.sa.sci
        secure_length = len(bare) - 12 - self._tag_length() - ICV
        assert tag.SL == (secure_length if secure_length < 48 else 0), (tag.SL, secure_length)
        pn = pn_high << 32 | tag.PN
        self.sa.pn = pn
        opened = self.sa.decrypt(packet, assoclen=self._associated(secure_length))
        plain = bytes(self.sa.decap(opened))
        return plain[:12] + tags + plain[12:], pn
