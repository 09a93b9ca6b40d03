"""Our end: sealwired between a host on the inside and the guest on the outside.

    namespace `in`            namespace `box`                    guest
    h0  ------ veth ------- lan | sealwired | wan ---- TAP ---- eth0

Frames are made and looked at only inside these namespaces.
"""

import base64
import json
import pathlib
import re
import subprocess
import time
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "netns"))
from lab import Lab, build_dir, stop, wait_until  # noqa: E402, F401
from raw import read_pcap  # noqa: E402

HOST_MAC = "02:00:00:00:00:11"
LAN_MAC = "02:00:00:00:00:01"
WAN_MAC = "02:00:00:00:00:03"
GUEST_MAC = "02:00:00:00:00:02"
# What the kernel's queues may hold while the guest, which is slow, does not read.
QUEUE = 10000

SENDER = """
import base64, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(base64.b64decode(line))
"""


class Box:
    """The namespaces and wires, made once, and one daemon at a time."""

    def __init__(self, vhost_user=False):
        """`vhost_user`: the port `wan` is one, at `self.socket`, while a daemon runs; else it is a TAP."""
        self.lab = Lab("swio")
        self.socket = self.lab.folder / "wan.vhost"
        # Rings that hold a burst of the kernel's while the two cores are busy elsewhere.
        self.wan = f"net_vhost0,iface={self.socket},queues=1" if vhost_user else "net_af_packet1,iface=wan,framecnt=4096"
        self.inside = self.lab.namespace("in")
        self.box = self.lab.namespace("box")
        self.lab.wire(self.inside, "h0", self.box, "lan", mtu=1500)
        self.enter_inside("sysctl", "-qw", "net.ipv6.conf.h0.disable_ipv6=0", "net.ipv6.conf.h0.accept_dad=0",
                          "net.ipv6.conf.h0.router_solicitations=0")
        self.ip(self.inside, "link set h0 address " + HOST_MAC)
        self.ip(self.box, f"tuntap add wan mode tap")
        self.ip(self.box, f"link set wan mtu 2000 txqueuelen {QUEUE} up")
        self.daemon = None
        self.config = {}
        self._count = 0

    def ip(self, namespace, words):
        return self.lab_run("ip", "-n", namespace, *words.split())

    def lab_run(self, *command, **options):
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
        if result.returncode:
            raise AssertionError(f"`{' '.join(command)}` gave {result.returncode}:\n{result.stdout}{result.stderr}")
        return result.stdout

    def enter_inside(self, *command, **options):
        return self.lab_run("ip", "netns", "exec", self.inside, *command, **options)

    def host_addresses(self, *addresses, routes=()):
        """Sets the inside host's addresses; `routes`: destination and next hop."""
        self.ip(self.inside, "addr flush dev h0 scope global")
        for address in addresses:
            self.ip(self.inside, f"addr add {address} dev h0" + (" nodad" if ":" in address else ""))
        for destination, via in routes:
            self.ip(self.inside, f"route replace {destination} via {via} dev h0")

    def start(self, lines, wan_mtu, wan_mac=WAN_MAC):
        """Starts sealwired with the lines given and this box's two ports, `lan` and `wan`."""
        self._count += 1
        name = f"box{self._count}"
        self.config = {
            "sealwire": 1, "lab": True,
            "system": {"workers": 1, "idle": "sleep", "hugepages": "never",
                       "api-socket": f"{{folder}}/{name}.sock", "state-directory": f"{{folder}}/{name}.state"},
            "ports": {
                "lan": {"device": "net_af_packet0,iface=lan,framecnt=4096", "mac": LAN_MAC, "mtu": 1500},
                "wan": {"device": self.wan, "mac": wan_mac, "mtu": wan_mtu}},
            "lines": lines}
        # YAML reads JSON.
        self.daemon = self.lab.daemon(self.box, name, json.dumps(self.config, indent=1))

    def stop(self):
        if self.daemon is not None:
            self.daemon.stop()
            self.daemon = None

    def drops(self):
        """Drop reasons that counted something, over both directions. Left out are what ended here on purpose,
        what was for others (the kernels' multicast reports) and what came before a neighbour was resolved."""
        found = {}
        for drop in self.daemon.show("drops")["drops"]:
            if drop["packets"] and drop["kind"] == "lost" and drop["reason"] not in ("NotForUs", "NoNeighbour"):
                found[drop["reason"]] = found.get(drop["reason"], 0) + drop["packets"]
        return found

    def secy(self):
        """The SecY's counters in one flat table under 802.1AE's names."""
        found = {}

        def take(entry):
            for key, value in entry.get("counters", {}).items():
                found[key] = found.get(key, 0) + value

        (secy,) = self.daemon.show("secy")["secys"]
        take(secy["transmit"])
        take(secy["receive"])
        for channel in secy["receive"]["scs"]:
            take(channel)
        return found

    def sas(self):
        return {sa["name"]: sa for sa in self.daemon.show("sa")["sas"]}

    def ping(self, address, *, size=56, count=1, timeout=3, options=()):
        """From the inside host; returns how many replies came."""
        # For its last reply ping waits no longer than twice the longest round trip so far, here some milliseconds: of a
        # series one more is sent, and not counted, but let through.
        more = 1 if count > 4 else 0
        command = ["ip", "netns", "exec", self.inside, "ping", "-n", "-c", str(count + more), "-i", "0.005", "-W",
                   str(timeout), "-s", str(size), *options, address]
        output = subprocess.run(command, capture_output=True, text=True, timeout=count * timeout + 20).stdout
        time.sleep(0.1 * more)
        return len({int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", output)} & set(range(1, count + 1)))

    def inject(self, frames, device="wan", namespace=None):
        """Sends raw frames out of a device of `box`: to the guest, without passing sealwired."""
        text = "\n".join(base64.b64encode(frame).decode() for frame in frames)
        self.lab_run("ip", "netns", "exec", namespace or self.box, "/usr/bin/python3", "-c", SENDER, device, input=text)

    def watch_inside(self, expression):
        """Captures on the inside host's device; end it with frames()."""
        return InsideCapture(self, expression)

    def evidence(self):
        if self.daemon is None:
            return "--- sealwired: not running"
        parts = [f"--- sealwired's log\n{self.daemon.output()[-6000:]}", json.dumps(self.config["lines"])]
        for view in ("lines", "drops", "secy", "sa"):
            parts.append(f"--- sealwire show {view}\n{self.daemon.cli('show', view, check=False).stdout}")
        return "\n".join(parts)

    def close(self):
        self.stop()
        self.lab.close()


class InsideCapture:
    def __init__(self, box, expression):
        self.path = box.lab.folder / "inside.pcap"
        self.path.unlink(missing_ok=True)
        self.log = box.lab.folder / "inside.log"
        self.log.unlink(missing_ok=True)
        self.process = box.lab.spawn(box.inside, "tcpdump", "-n", "--immediate-mode", "-U", "-Z", "root", "-i", "h0",
                                     "-w", self.path, *expression.split(), log=self.log)
        wait_until(lambda: "listening" in self.log.read_text(), 10, "tcpdump on the inside")

    def frames(self):
        stop(self.process)
        return read_pcap(self.path.read_bytes())
