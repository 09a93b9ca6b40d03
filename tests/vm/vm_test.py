#!/usr/bin/python3
"""sealwired in a virtual machine, its virtio ports bound to vfio-pci or uio_pci_generic, sealing towards another guest.

    peer guest                                       appliance guest
    netns host: eth1 ---- stream socket ------------ inside (virtio, PCI) | sealwired
    macsec0 on eth0 ----- stream socket ------------ outside (virtio, PCI)
"""

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
from linux import Macsec, Place, Sa  # noqa: E402

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


def config(ours, theirs):
    return {
        "sealwire": 1, "lab": True,
        "system": {"workers": 1, "idle": "sleep", "hugepages": "required", "api-socket": "/run/api.sock",
                   "state-directory": "/run/state"},
        "ports": {"outside": {"device": PORTS[0], "mtu": 1532}, "inside": {"device": PORTS[1], "mtu": 1500}},
        "lines": {"wire": {"stages": ["macsec"], "inside": ["inside"], "outside": ["outside"], "macsec": {
            "suite": "gcm-aes-256", "sci": f"{OUTSIDE_MAC}/1", "replay-window": 64,
            "tx": {"encoding-sa": 0, "sas": {"0": {"key": ours}}},
            "rx": {"peer": {"sci": f"{PEER_MAC}/1", "sas": {"0": {"key": theirs}}}}}}}}


def run(driver, folder, archive):
    iommu = driver == "vfio-pci"
    links = [str(folder / f"{driver}-{side}") for side in ("outside", "inside")]
    appliance = Guest("appliance", "appliance", memory_mib=768, extra_initrd=archive, iommu=iommu,
                      append="hugepages=128" + (" intel_iommu=on iommu=nopt" if iommu else ""))
    peer = Guest("peer")
    for link, appliance_mac, peer_mac in zip(links, (OUTSIDE_MAC, INSIDE_MAC), (PEER_MAC, HOST_MAC)):
        appliance.add_link(link, appliance_mac, listen=True)
        peer.add_link(link, peer_mac, listen=False)
    with appliance, peer:
        try:
            ours, theirs = (os.urandom(32).hex() for _ in range(2))
            appliance.put("/box.yaml", json.dumps(config(ours, theirs)))
            appliance.check(BIND.format(driver=driver, devices=" ".join(PORTS)))
            appliance.check("sealwire state init /run/state")
            daemon = appliance.spawn("exec sealwired -c /box.yaml", "/tmp/sealwired.log")
            appliance.wait_until(f"[ -S /run/api.sock ] || ! kill -0 {daemon}", timeout=120, interval=0.5)
            appliance.check("sealwire --api /run/api.sock show lines")
            # No IPv6: the wire carries the pings and their ARP, from when both ends are up.
            peer.check("ip netns add host && ip link set eth1 netns host && "
                       "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.eth0.disable_ipv6=1 && "
                       "ip netns exec host sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1 && "
                       "ip -n host link set eth1 up && ip link set eth0 mtu 1532 up")
            linux = Macsec(Place(peer), "eth0")
            linux.set_up("gcm-aes-256", tx=Sa(theirs), rx=Sa(ours), peer_mac=OUTSIDE_MAC, window=64,
                         addresses=["10.9.0.2/24"])
            host = Place(peer, "host")
            host.check("ip addr add 10.9.0.1/24 dev eth1")
            wait_for(lambda: host.ping("10.9.0.2", timeout=2), "the first reply", timeout=60)
            for size in (0, 56, 1000, 1472):
                expect(host.ping("10.9.0.2", size=size, count=5), 5, f"replies of size {size}")

            def both_ways():
                """What was sealed and what was accepted, ours to Linux and Linux's to us."""
                (secy,) = json.loads(appliance.check("sealwire --api /run/api.sock show secy --json"))["secys"]
                received = [channel["counters"]["InPktsOK"] for channel in secy["receive"]["scs"]]
                theirs = linux.counters()
                return [[secy["transmit"]["counters"]["OutPktsEncrypted"], theirs["InPktsOK"]],
                        [theirs["OutPktsEncrypted"], sum(received)]]

            wait_for(lambda: all(sealed == accepted for sealed, accepted in both_ways()), "equal counters", timeout=10)
            counts = both_ways()
            expect(min(counts[0] + counts[1]) >= 21, True, f"frames sealed and accepted: {counts}")
            print(f"{driver}: passed; sealed and accepted, to Linux and back: {counts}", flush=True)
        except Exception:
            for command in ("cat /tmp/sealwired.log", "sealwire --api /run/api.sock show lines",
                            "sealwire --api /run/api.sock show drops",
                            "sealwire --api /run/api.sock show secy", "dmesg | tail -20"):
                print(f"--- appliance: {command}\n{appliance.run(command)[1]}")
            print(f"--- peer\n{peer.run('ip -s macsec show; ip -s link')[1]}")
            raise


def main():
    drivers = sys.argv[1:] or ["vfio-pci", "uio_pci_generic"]
    with tempfile.TemporaryDirectory(prefix="sealwire-vm-") as name:
        archive = overlay(pathlib.Path(name))
        for driver in drivers:
            run(driver, pathlib.Path(name), archive)
    print(f"{len(drivers)} passed, 0 failed")


if __name__ == "__main__":
    main()
