"""ESP by scapy's SecurityAssociation; what it lacks (GMAC, ESN with HMAC) by python-cryptography around it."""

import struct

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation

HMACS = {"sha1-96": ("HMAC-SHA1-96", hashes.SHA1, 20, 12), "sha256-128": ("SHA2-256-128", hashes.SHA256, 32, 16),
         "sha384-192": ("SHA2-384-192", hashes.SHA384, 48, 24), "sha512-256": ("SHA2-512-256", hashes.SHA512, 64, 32)}
AEADS = ([f"aes-gcm-{bits}" for bits in (128, 192, 256)] + ["chacha20-poly1305"] +
         [f"aes-gmac-{bits}" for bits in (128, 192, 256)])
ALGORITHMS = (AEADS + [f"aes-cbc-{bits}-hmac-{mac}" for bits in (128, 192, 256) for mac in HMACS] +
              [f"null-hmac-{mac}" for mac in HMACS])


def key_length(algorithm):
    """Octets of KEYMAT: cipher key, authentication key, salt."""
    if algorithm in AEADS:
        return (32 if "chacha" in algorithm else int(algorithm.rsplit("-", 1)[1]) // 8) + 4
    cipher, mac = algorithm.split("-hmac-")
    return (0 if cipher == "null" else int(cipher.rsplit("-", 1)[1]) // 8) + HMACS[mac][2]


class Sa:
    """One ESP SA: seals and opens from SPI to ICV."""

    def __init__(self, algorithm, spi, keymat, esn=False):
        self.algorithm, self.spi, self.esn, self.keymat = algorithm, spi, esn, keymat
        self.gmac = "gmac" in algorithm
        self.hmac = None
        self.iv_length, self.block, self.icv = 8, 4, 16
        options = {}
        if self.gmac:
            return
        if algorithm in AEADS:
            name = "AES-GCM" if "gcm" in algorithm else "CHACHA20-POLY1305"
            options = {"crypt_algo": name, "crypt_key": keymat, "esn_en": esn}
        else:
            cipher, mac = algorithm.split("-hmac-")
            name, digest, length, self.icv = HMACS[mac]
            key, auth_key = keymat[:-length], keymat[-length:]
            self.iv_length, self.block = (0, 4) if cipher == "null" else (16, 16)
            options = {"crypt_algo": "NULL"} if cipher == "null" else {"crypt_algo": "AES-CBC", "crypt_key": key}
            if esn:  # scapy leaves the high half of the number out of the ICV
                self.hmac = (auth_key, digest)
            else:
                options |= {"auth_algo": name, "auth_key": auth_key}
        self.scapy = SecurityAssociation(ESP, spi, tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), **options)

    def _mac(self, esp, high):
        mac = hmac.HMAC(self.hmac[0], self.hmac[1]())
        mac.update(esp + struct.pack("!I", high))
        return mac.finalize()[: self.icv]

    def _gmac(self, esp, high):
        """(nonce, AAD) of RFC 4543: the IV and all that follows is authenticated only."""
        header = esp[:4] + (struct.pack("!I", high) if self.esn else b"") + esp[4:8]
        return self.keymat[-4:] + esp[8:16], header + esp[8:]

    def seal(self, inner, sn, iv=None):
        """The ESP packet, SPI to ICV, that carries the IP packet `inner` under the 64-bit number `sn`."""
        low, high = sn & 0xFFFFFFFF, sn >> 32
        if self.gmac:
            pad = -(len(inner) + 2) % 4
            esp = struct.pack("!II", self.spi, low) + (iv or struct.pack("!Q", sn)) + inner
            esp += bytes(range(1, pad + 1)) + bytes((pad, 4 if inner[0] >> 4 == 4 else 41))
            nonce, aad = self._gmac(esp, high)
            return esp + AESGCM(self.keymat[:-4]).encrypt(nonce, b"", aad)
        packet = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
        esp = bytes(self.scapy.encrypt(packet, seq_num=low, iv=iv, esn=high)[ESP])
        return esp + self._mac(esp, high) if self.hmac else esp

    def open(self, esp, high=0):
        """(inner packet, low half of the number, IV); raises when the ICV or the padding is wrong."""
        spi, low = struct.unpack("!II", esp[:8])
        assert spi == self.spi, hex(spi)
        iv = esp[8 : 8 + self.iv_length]
        sealed = len(esp) - 8 - self.iv_length - self.icv
        assert sealed % self.block == 0, sealed
        if self.gmac:
            nonce, aad = self._gmac(esp[:-16], high)
            AESGCM(self.keymat[:-4]).decrypt(nonce, esp[-16:], aad)
            return self._unpad(esp[16:-16]), low, iv
        if self.hmac:
            assert esp[-self.icv :] == self._mac(esp[: -self.icv], high), "ICV"
            esp = esp[: -self.icv]
        # Of the padding scapy says nothing, so it is looked at in what its cipher gives.
        outer = IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(esp)))
        plain = self.scapy.decrypt(outer, esn=high)
        return bytes(plain), low, iv

    @staticmethod
    def _unpad(plain):
        pad, following = plain[-2:]
        assert plain[len(plain) - 2 - pad : -2] == bytes(range(1, pad + 1)), "padding"
        inner = plain[: len(plain) - 2 - pad]
        assert following == (4 if inner[0] >> 4 == 4 else 41)
        return inner
