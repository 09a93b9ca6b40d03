"""Linux's MACsec and XFRM in a guest: how a test sets them up, breaks them and reads their counters.

All keys here are hex text. A `place` is a guest, or one network namespace inside it.
"""

import json
import re
from dataclasses import dataclass

from guest import GuestError


class Place:
    """Where commands run: the guest itself, or a namespace of it."""

    def __init__(self, guest, netns=None):
        self.guest = guest
        self.netns = netns
        self.inside = f"ip netns exec {netns} " if netns else ""
        self.ip = f"ip -n {netns}" if netns else "ip"

    def run(self, command, timeout=60):
        return self.guest.run(self.inside + command, timeout)

    def check(self, command, timeout=60):
        return self.guest.check(self.inside + command, timeout)

    def script(self, lines, timeout=120):
        """Several commands as one request; `$IP` is ip in this place. Stops at the first failure."""
        body = "\n".join(lines)
        return self.guest.check(f"set -e; IP='{self.ip}'\n{body}", timeout)

    def ip_batch(self, commands):
        """Has one `ip` carry out the commands; stops at the first failure."""
        self.guest.put("/tmp/batch", "\n".join(commands) + "\n")
        # The kernel loads and tests an algorithm at its first use: seconds in an emulated guest.
        self.guest.check(f"{self.ip} -batch /tmp/batch", timeout=60 + 4 * len(commands))

    def ping(self, address, *, size=56, count=1, timeout=3, options=""):
        """One attempt; returns how many replies came."""
        _, output = self.run(f"ping -q -n -c {count} -i 0.02 -W {timeout} -s {size} {options} {address}",
                             count * timeout + 10)
        found = re.search(r"(\d+) received", output)
        return int(found.group(1)) if found else 0


def wire_between(guest, left, right, mtu=1600):
    """Two namespaces in the guest with a veth between them: `p<name>` in each. Returns their places."""
    names = (left, right)
    guest.check(f"ip netns add {left} && ip netns add {right} && "
                f"ip link add p{left} netns {left} mtu {mtu} address {mac_of(left)} type veth "
                f"peer name p{right} netns {right} mtu {mtu} address {mac_of(right)}")
    for name in names:
        guest.check(f"ip -n {name} link set lo up; ip -n {name} link set p{name} up; "
                    f"ip netns exec {name} ethtool -K p{name} tx off rx off gso off tso off gro off")
    return tuple(Place(guest, name) for name in names)


def mac_of(name):
    """A unicast, locally administered MAC of a name's first five octets."""
    return ":".join(f"{octet:02x}" for octet in b"\x02" + name.encode()[:5].ljust(5, b"\0"))


# ---- MACsec ----

@dataclass
class Sa:
    """One MACsec SA: `salt` and `ssci` are for the XPN suites only."""
    key: str
    an: int = 0
    pn: int = 1
    salt: str = ""
    ssci: int = 0

    def words(self, key_id):
        text = f"sa {self.an} "
        text += f"xpn {self.pn} salt {self.salt} ssci {self.ssci} " if self.salt else f"pn {self.pn} "
        return text + f"on key {key_id} {self.key}"


class Macsec:
    """A Linux SecY on `device` in `place`, with one receive channel."""

    def __init__(self, place, device, name="macsec0"):
        self.place = place
        self.device = device
        self.name = name

    def set_up(self, suite, tx, rx, peer_mac, peer_port=1, port=1, encrypt=True, send_sci=True,
               end_station=False, window=None, validate="strict", addresses=(), mtu=1500):
        """`tx` and `rx` are Sa; `window` None means replay protection off."""
        on = {True: "on", False: "off"}
        replay = "replay off" if window is None else f"replay on window {window}"
        flags = "send_sci off end_station on" if end_station else f"send_sci {on[send_sci]}"
        channel = f"port {peer_port} address {peer_mac}"
        self.place.script([
            f"$IP link add link {self.device} {self.name} type macsec port {port} cipher {suite} "
            f"encrypt {on[encrypt]} {flags} {replay} validate {validate}",
            f"$IP macsec add {self.name} tx {tx.words('01')}",
            f"$IP macsec add {self.name} rx {channel} on",
            f"$IP macsec add {self.name} rx {channel} {rx.words('02')}",
            f"$IP link set {self.name} mtu {mtu} up",
            *[f"$IP addr add {address} dev {self.name} nodad" if ":" in address
              else f"$IP addr add {address} dev {self.name}" for address in addresses]])

    def tear_down(self):
        self.place.run(f"ip link del {self.name}")

    def counters(self):
        """All counters of the SecY, its transmit and its receive channel in one flat table; an SA's
        are left out (the channel's are their sums)."""
        for secy in json.loads(self.place.check("ip -s -j macsec show")):
            if secy["ifname"] == self.name:
                found = {key: value for key, value in secy.items() if key[:3] in ("Out", "InP", "InO")}
                for channel in secy.get("rx_sc", []):
                    for key, value in channel.items():
                        if key.startswith("In"):
                            found[key] = found.get(key, 0) + value
                return found
        raise GuestError(f"no {self.name} in the guest")


# ---- XFRM ----

HMACS = {"sha1-96": ("hmac(sha1)", 20, 96), "sha256-128": ("hmac(sha256)", 32, 128),
         "sha384-192": ("hmac(sha384)", 48, 192), "sha512-256": ("hmac(sha512)", 64, 256)}
AEADS = {"aes-gcm-128": ("rfc4106(gcm(aes))", 20), "aes-gcm-192": ("rfc4106(gcm(aes))", 28),
         "aes-gcm-256": ("rfc4106(gcm(aes))", 36), "aes-gmac-128": ("rfc4543(gcm(aes))", 20),
         "aes-gmac-192": ("rfc4543(gcm(aes))", 28), "aes-gmac-256": ("rfc4543(gcm(aes))", 36),
         "chacha20-poly1305": ("rfc7539esp(chacha20,poly1305)", 36)}


def esp_algorithms():
    """Every ESP algorithm that Linux and Sealwire share, by Sealwire's name."""
    names = list(AEADS)
    names += [f"aes-cbc-{bits}-hmac-{mac}" for bits in (128, 192, 256) for mac in HMACS]
    return names + [f"null-hmac-{mac}" for mac in HMACS]


def esp_key_length(algorithm):
    """Octets of keying material in the order of `ip xfrm` and of our config: cipher key, then
    authentication key or salt."""
    if algorithm in AEADS:
        return AEADS[algorithm][1]
    cipher, _, mac = algorithm.partition("-hmac-")
    cipher_length = 0 if cipher == "null" else int(cipher.rsplit("-", 1)[1]) // 8
    return cipher_length + HMACS[mac][1]


def xfrm_algorithm(algorithm, key):
    """The algorithm as `ip xfrm state add` takes it."""
    if algorithm in AEADS:
        return f"aead '{AEADS[algorithm][0]}' 0x{key} 128"
    cipher, _, mac = algorithm.partition("-hmac-")
    name, auth_length, bits = HMACS[mac]
    split = len(key) - 2 * auth_length
    enc = "enc 'ecb(cipher_null)' ''" if cipher == "null" else f"enc 'cbc(aes)' 0x{key[:split]}"
    return f"{enc} auth-trunc '{name}' 0x{key[split:]} {bits}"


# Over netlink: reads all SAs, deletes the one of that SPI and adds what was read with XFRMA_TFCPAD at the end.
PAD = """
import socket, struct, sys
NEWSA, DELSA, GETSA, REQUEST, ACK, DUMP, TFCPAD = 16, 17, 18, 1, 4, 0x300, 22
spi, length = map(int, sys.argv[1:])
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)

def ask(kind, flags, body):
    netlink.send(struct.pack('=IHHII', 16 + len(body), kind, REQUEST | flags, 1, 0) + body)
    while True:
        data = netlink.recv(1 << 20)
        while data:
            size, kind = struct.unpack_from('=IH', data)
            if kind == 2 and (error := struct.unpack_from('=i', data, 16)[0]):
                sys.exit(f'netlink: {error}')
            if kind in (2, 3):  # NLMSG_ERROR, NLMSG_DONE
                return
            yield data[16:size]
            data = data[size + 3 & ~3:]

# struct xfrm_usersa_info: the selector, 56 octets, then xfrm_id: address, SPI, protocol.
(sa,) = [sa for sa in ask(GETSA, DUMP, b'') if struct.unpack_from('!I', sa, 72)[0] == spi]
# struct xfrm_usersa_id: address, SPI, family, protocol.
list(ask(DELSA, ACK, sa[56:76] + sa[212:214] + sa[76:77] + bytes(1)))
list(ask(NEWSA, ACK, sa + struct.pack('=HHI', 8, TFCPAD, length)))
"""


class Xfrm:
    """The XFRM states and policies of one place."""

    def __init__(self, place):
        self.place = place

    @staticmethod
    def sa_command(source, destination, spi, algorithm, key, reqid=1, esn=False, window=32, encap=None, flags=(), sent=0):
        """The words that add one ESP tunnel SA. `encap`: source and destination UDP port. Linux wants
        a window with ESN in both directions. `sent`: the last sequence number that counts as used."""
        words = [f"xfrm state add src {source} dst {destination} proto esp spi {spi} mode tunnel reqid {reqid}",
                 xfrm_algorithm(algorithm, key), f"replay-window {window}"]
        words += [f"flag {flag}" for flag in [*flags, *(["esn"] if esn else [])]]
        if sent:
            words.append(f"replay-oseq {sent:#x}")
        if encap:
            words.append(f"encap espinudp {encap[0]} {encap[1]} {source}")
        return " ".join(words)

    @staticmethod
    def policy_commands(direction, inner_source, inner_destination, outer_source, outer_destination, reqid=1):
        """`direction`: out, or in (a forwarding policy comes with it)."""
        return [f"xfrm policy add src {inner_source} dst {inner_destination} dir {word} "
                f"tmpl src {outer_source} dst {outer_destination} proto esp reqid {reqid} mode tunnel"
                for word in (("out",) if direction == "out" else ("in", "fwd"))]

    def apply(self, commands):
        """Has one `ip` carry out the commands."""
        self.place.ip_batch(commands)

    def pad(self, spi, length):
        """Has the SA pad what it sends for traffic flow confidentiality, to `length` octets of inner packet or what
        the link holds. It is made anew, since Linux takes that only with a new SA, and iproute2 cannot ask for it."""
        self.place.guest.put("/tmp/pad.py", PAD)
        self.place.check(f"python3 /tmp/pad.py {spi} {length}")

    def clear(self):
        self.apply(["xfrm state flush", "xfrm policy flush"])

    def states(self):
        """SPI -> packets, bytes, and what was refused by the replay window, the ICV or the window's size."""
        found = {}
        for text in self.place.check("ip -s xfrm state").split("\nsrc "):
            spi = re.search(r"spi 0x([0-9a-f]+)", text)
            if spi:
                current = re.search(r"(\d+)\(bytes\), (\d+)\(packets\)", text)
                refused = re.search(r"replay-window (\d+) replay (\d+) failed (\d+)", text)
                found[int(spi.group(1), 16)] = {
                    "bytes": int(current.group(1)), "packets": int(current.group(2)),
                    "outside_window": int(refused.group(1)), "replayed": int(refused.group(2)),
                    "failed": int(refused.group(3))}
        return found

    def statistics(self):
        """/proc/net/xfrm_stat: XfrmInNoStates, XfrmInStateProtoError, XfrmInStateSeqError, ..."""
        text = self.place.check("cat /proc/net/xfrm_stat")
        return {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if line.strip()}

    def hold_encap_socket(self, port=4500, family=4):
        """A UDP socket that hands ESP to XFRM, as an IKE daemon would hold; returns its process id."""
        name = {4: "AF_INET", 6: "AF_INET6"}[family]
        program = (f"import socket, time; s = socket.socket(socket.{name}, socket.SOCK_DGRAM); "
                   f"s.setsockopt(17, 100, 2); s.bind(('', {port})); time.sleep(3600)")
        pid = self.place.guest.spawn(f"exec {self.place.inside}python3 -c \"{program}\"", "/tmp/encap.log")
        self.place.guest.wait_until(f"{self.place.inside}ss -lun 2>/dev/null | grep -q ':{port} '", 15)
        return pid
