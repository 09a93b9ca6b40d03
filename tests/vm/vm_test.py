#!/usr/bin/python3
"""sealwired in a virtual machine, its virtio ports bound to vfio-pci or uio_pci_generic, sealing towards another guest
by MACsec, ESP and both.

    peer guest                                       appliance guest
    netns host: eth1 ---- stream socket ------------ inside (virtio, PCI) | sealwired
    eth0, its macsec0 --- stream socket ------------ outside (virtio, PCI)

usage: vm_test.py [DRIVER...] [--report FILE]   the report is for tests/interop/document
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent / "interop"), str(HERE.parent / "netns")]
from guest import Guest  # noqa: E402
from harness import expect, wait_for  # noqa: E402
from lab import build_dir  # noqa: E402
from linux import Macsec, Place, Sa, Xfrm  # noqa: E402

OUTSIDE_MAC, PEER_MAC, INSIDE_MAC, HOST_MAC = (f"02:00:00:00:01:0{n}" for n in range(1, 5))
PORTS = ("0000:00:03.0", "0000:00:04.0")  # in the order of attachment: outside, inside

BIND = """
modprobe {driver}
for device in {devices}; do
  echo $device >/sys/bus/pci/devices/$device/driver/unbind
  echo {driver} >/sys/bus/pci/devices/$device/driver_override
  echo $device >/sys/bus/pci/drivers_probe
  [ "$(basename $(readlink /sys/bus/pci/devices/$device/driver))" = {driver} ] || exit 1
done
mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages
"""


def overlay(folder):
    """A cpio with our programs, stripped, to be laid over the appliance's image."""
    root = folder / "overlay"
    (root / "usr/bin").mkdir(parents=True)
    for name in ("sealwired", "sealwire"):
        subprocess.run(["strip", "-o", root / "usr/bin" / name, build_dir() / name], check=True, timeout=60)
    archive = folder / "overlay.cpio"
    names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True, timeout=60).stdout
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=out, check=True,
                       timeout=60)
    return archive


STAGES = {"macsec": ["macsec"], "esp": ["esp"], "both": ["esp", "macsec"]}
PROVES = {"macsec": "GCM-AES-256 against Linux's macsec driver", "esp": "AES-GCM-256 tunnel against XFRM",
          "both": "AES-GCM-256 tunnel inside GCM-AES-256 against XFRM over macsec"}
WAYS = {"out": (0x1001, "192.0.2.1", "192.0.2.2"), "in": (0x1002, "192.0.2.2", "192.0.2.1")}


def config(kind, saks, esp_keys):
    line = {"stages": STAGES[kind], "inside": ["inside"], "outside": ["outside"]}
    if "macsec" in line["stages"]:
        line["macsec"] = {"suite": "gcm-aes-256", "sci": f"{OUTSIDE_MAC}/1", "replay-window": 64,
                          "tx": {"encoding-sa": 0, "sas": {"0": {"key": saks["out"]}}},
                          "rx": {"peer": {"sci": f"{PEER_MAC}/1", "sas": {"0": {"key": saks["in"]}}}}}
    if "esp" in line["stages"]:
        line["gateway"] = {"addresses": {"inside": ["10.1.0.1/24"], "outside": ["192.0.2.1/24"]},
                           "routes": {"10.2.0.0/24": {"via": "192.0.2.2", "port": "outside"}}}
        line["esp"] = {
            "sas": {way: {"direction": way, "spi": spi, "algorithm": "aes-gcm-256", "key": esp_keys[way], "esn": True,
                          "source": source, "destination": destination,
                          **({"replay-window": 64} if way == "in" else {})}
                    for way, (spi, source, destination) in WAYS.items()},
            "policies": {"site": {"action": "protect", "sa": "out", "inbound-sa": "in", "source": ["10.1.0.0/24"],
                                  "destination": ["10.2.0.0/24"]}}}
    return {
        "sealwire": 1, "lab": True,
        "system": {"workers": 1, "idle": "sleep", "hugepages": "required", "api-socket": "/run/api.sock",
                   "state-directory": "/run/state"},
        "ports": {"outside": {"device": PORTS[0], "mtu": 1632}, "inside": {"device": PORTS[1], "mtu": 1500}},
        "lines": {"line": line}}


def show(appliance, what):
    return json.loads(appliance.check(f"sealwire --api /run/api.sock show {what} --json"))


def start(appliance, text):
    appliance.put("/box.yaml", text)
    daemon = appliance.spawn("exec sealwired -c /box.yaml", "/tmp/sealwired.log")
    appliance.wait_until(f"[ -S /run/api.sock ] && sealwire --api /run/api.sock show lines || ! kill -0 {daemon}",
                         timeout=120, interval=0.5)
    appliance.check("sealwire --api /run/api.sock show lines")
    return daemon


def run_kind(kind, appliance, peer):
    """One kind of line from its start to its end; returns what was sealed and accepted, by layer and way."""
    saks = {way: os.urandom(32).hex() for way in WAYS}
    esp_keys = {way: os.urandom(36).hex() for way in WAYS}
    root, host = Place(peer), Place(peer, "host")
    macsec, xfrm, device, far = None, None, "eth0", "10.9.0.2"
    if "macsec" in STAGES[kind]:
        device, macsec = "macsec0", Macsec(root, "eth0")
        macsec.set_up("gcm-aes-256", tx=Sa(saks["in"]), rx=Sa(saks["out"]), peer_mac=OUTSIDE_MAC, window=64, mtu=1600,
                      addresses=[] if "esp" in STAGES[kind] else [f"{far}/24"])
    if "esp" in STAGES[kind]:
        far, xfrm = "10.2.0.20", Xfrm(root)
        root.check(f"ip addr add {far}/32 dev lo && ip addr add 192.0.2.2/24 dev {device} && "
                   f"ip route add 10.1.0.0/24 via 192.0.2.1 src {far}")
        xfrm.apply([Xfrm.sa_command(source, destination, spi, "aes-gcm-256", esp_keys[way], esn=True, window=64)
                    for way, (spi, source, destination) in WAYS.items()]
                   + Xfrm.policy_commands("out", "10.2.0.0/24", "10.1.0.0/24", "192.0.2.2", "192.0.2.1")
                   + Xfrm.policy_commands("in", "10.1.0.0/24", "10.2.0.0/24", "192.0.2.1", "192.0.2.2"))
        host.check("ip addr add 10.1.0.20/24 dev eth1 && ip -n host route add default via 10.1.0.1")
    else:
        host.check("ip addr add 10.9.0.1/24 dev eth1")
    # Last, so that Linux counts the gateway's announcements too.
    daemon = start(appliance, json.dumps(config(kind, saks, esp_keys)))
    wait_for(lambda: host.ping(far, timeout=2), f"{kind}: the first reply", timeout=60)
    for size in (0, 56, 1000, 1400):
        expect(host.ping(far, size=size, count=5), 5, f"{kind}: replies of size {size}")

    def counts():
        """What was sealed and what was accepted, ours to Linux and Linux's to us."""
        found = {}
        if macsec:
            (secy,) = show(appliance, "secy")["secys"]
            theirs = macsec.counters()
            found["macsec"] = [[secy["transmit"]["counters"]["OutPktsEncrypted"], theirs["InPktsOK"]],
                               [theirs["OutPktsEncrypted"],
                                sum(channel["counters"]["InPktsOK"] for channel in secy["receive"]["scs"])]]
        if xfrm:
            ours = {sa["name"]: sa["packets"] for sa in show(appliance, "sa")["sas"]}
            theirs = xfrm.states()
            found["esp"] = [[ours["out"], theirs[WAYS["out"][0]]["packets"]],
                            [theirs[WAYS["in"][0]]["packets"], ours["in"]]]
        return found

    wait_for(lambda: all(sealed == accepted for layer in counts().values() for sealed, accepted in layer),
             f"{kind}: equal counters, now {counts()}", timeout=15)
    found = counts()
    for layer in found.values():
        expect(min(layer[0] + layer[1]) >= 21, True, f"{kind}: packets sealed and accepted: {found}")
    appliance.check(f"kill {daemon}")
    appliance.wait_until("tail -1 /tmp/sealwired.log | grep -q stopped", timeout=30)
    if xfrm:
        xfrm.clear()
        root.check(f"ip addr del {far}/32 dev lo; ip addr flush dev {device}; ip route flush 10.1.0.0/24; true")
    if macsec:
        macsec.tear_down()
    host.check("ip addr flush dev eth1")
    return found


def run(driver, folder, archive):
    iommu = driver == "vfio-pci"
    links = [str(folder / f"{driver}-{side}") for side in ("outside", "inside")]
    appliance = Guest("appliance", "appliance", memory_mib=768, extra_initrd=archive, iommu=iommu,
                      append="hugepages=128" + (" intel_iommu=on iommu=nopt" if iommu else ""))
    peer = Guest("peer")
    for link, appliance_mac, peer_mac in zip(links, (OUTSIDE_MAC, INSIDE_MAC), (PEER_MAC, HOST_MAC)):
        appliance.add_link(link, appliance_mac, listen=True)
        peer.add_link(link, peer_mac, listen=False)
    cases = []
    with appliance, peer:
        try:
            appliance.check(BIND.format(driver=driver, devices=" ".join(PORTS)))
            appliance.check("sealwire state init /run/state")
            # No IPv6: the wire carries the pings and their ARP, from when both ends are up.
            peer.check("ip netns add host && ip link set eth1 netns host && "
                       "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.eth0.disable_ipv6=1 && "
                       "ip netns exec host sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1 && "
                       "ip -n host link set eth1 up && ip link set eth0 mtu 1632 up")
            for kind in STAGES:
                case = {"name": f"vm-{driver}-{kind}", "group": "vm", "proves": f"{driver}: {PROVES[kind]}",
                        "passed": False}
                cases.append(case)
                counts = run_kind(kind, appliance, peer)
                case["passed"] = True
                print(f"{case['name']}: passed; sealed and accepted, to Linux and back: {counts}", flush=True)
        except Exception:
            for command in ("cat /tmp/sealwired.log", "sealwire --api /run/api.sock show lines",
                            "sealwire --api /run/api.sock show drops", "sealwire --api /run/api.sock show sa",
                            "sealwire --api /run/api.sock show secy", "dmesg | tail -20"):
                print(f"--- appliance: {command}\n{appliance.run(command)[1]}")
            print(f"--- peer\n{peer.run('ip -s macsec show; ip -s xfrm state; ip -s link; ip addr; ip route')[1]}")
            raise
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drivers", nargs="*", metavar="DRIVER", default=[])
    parser.add_argument("--report", type=pathlib.Path)
    options = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory(prefix="sealwire-vm-") as name:
        archive = overlay(pathlib.Path(name))
        for driver in options.drivers or ["vfio-pci", "uio_pci_generic"]:
            cases += run(driver, pathlib.Path(name), archive)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(json.dumps({"versions": {}, "cases": cases}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} passed, 0 failed")


if __name__ == "__main__":
    main()
