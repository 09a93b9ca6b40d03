"""Raw frames, made without any packet library: building, capturing and sending them.

What is made here is judged by others' implementations, so it stays as plain as the standards' figures.
"""

import base64
import socket
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MACSEC_ETHERTYPE = 0x88E5
ETH_P_ALL = 3


def octets(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload, tos=0, identification=1, flags=0, ttl=64):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(payload), identification, flags, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source, destination, next_header, payload, traffic_class=0, hop_limit=64):
    first = 6 << 28 | traffic_class << 20
    return struct.pack("!IHBB", first, len(payload), next_header, hop_limit) \
        + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload


def udp(source_port, destination_port, payload):
    """UDP over IPv4 without a checksum, which RFC 768 allows."""
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def ethernet(destination, source, ethertype, payload):
    return octets(destination) + octets(source) + struct.pack("!H", ethertype) + payload


def seal_macsec(frame, key, sci, pn, an=0, send_sci=True, salt=None, ssci=0, encrypt=True):
    """Seals an Ethernet frame as 802.1AE says; `sci` is 8 octets, `salt` (12 octets) selects XPN."""
    tci = (0x20 if send_sci else 0) | (0x0C if encrypt else 0) | an
    data = frame[12:]
    tag = struct.pack("!HBBI", MACSEC_ETHERTYPE, tci, len(data) if len(data) < 48 else 0, pn & 0xFFFFFFFF)
    tag += sci if send_sci else b""
    if salt:
        nonce = bytes(a ^ b for a, b in zip(struct.pack("!IQ", ssci, pn), salt))
    else:
        nonce = sci + struct.pack("!I", pn)
    header = frame[:12] + tag
    if encrypt:
        return header + AESGCM(octets(key)).encrypt(nonce, data, header)
    return header + data + AESGCM(octets(key)).encrypt(nonce, b"", header + data)


def read_pcap(data):
    """The frames of a classic pcap file."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    frames, at = [], 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def send_from_guest(place, device, frames):
    """Sends raw frames out of a device of the guest, in order."""
    encoded = "\n".join(base64.b64encode(frame).decode() for frame in frames)
    place.guest.put("/tmp/frames", encoded)
    place.check("python3 -c \"import base64, socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); "
                f"s.bind(('{device}', 0)); "
                "[s.send(base64.b64decode(l)) for l in open('/tmp/frames')]\"")


class Capture:
    """tcpdump on a device of the guest, from its making until frames() is called."""

    def __init__(self, place, device, expression="", path="/tmp/capture.pcap"):
        self.place = place
        self.path = path
        log = path + ".log"
        place.guest.run(f"rm -f {path} {log}")
        self.pid = place.guest.spawn(f"exec {place.inside}tcpdump -n --immediate-mode -U -Z root -i {device} "
                                     f"-w {path} {expression}", log)
        place.guest.wait_until(f"[[ $(<{log}) == *listening* ]]")

    def frames(self):
        self.place.guest.kill(self.pid, "INT")
        self.place.guest.wait_until(f"[[ $(<{self.path}.log) == *captured* ]]")
        return read_pcap(self.place.guest.get(self.path))
