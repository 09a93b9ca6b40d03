#!/usr/bin/python3
"""The demo: two sites, two sealwired gateways, real traffic, and the proof of what was on the wire between them.

    site A (namespace) -- lan -- [sealwired A] -- wan == wire == wan -- [sealwired B] -- lan -- site B (namespace)

Ends by itself; exit code 0 only if everything held. Needs root, and nothing but this machine.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))
from lab import ROOT, Lab, build_dir, run, stop, take_down_on_signals, wait_until  # noqa: E402
from open_macsec import Sa, open_capture  # noqa: E402

FILE_SIZE = 48 * 1024 * 1024
PINGS = 20
IPERF_SECONDS = 5
SAMPLE_FRAMES = 1500  # captured whole at each end, to be opened
SITES = {
    "a": {"host": "10.1.0.2", "gateway": "10.1.0.1", "far": "10.2.0.0/24"},
    "b": {"host": "10.2.0.2", "gateway": "10.2.0.1", "far": "10.1.0.0/24"},
}


class Verdict:
    """What was claimed and whether it held."""

    def __init__(self):
        self.claims = []

    def claim(self, held, text):
        self.claims.append((held, text))
        print(self.line(held, text), flush=True)

    @staticmethod
    def line(held, text):
        return f"  {'ok    ' if held else 'FAILED'}  {text}"

    @property
    def failed(self):
        return sum(not held for held, _ in self.claims)

    def summary(self):
        return "\n".join(self.line(*claim) for claim in self.claims)


def say(text):
    print(f"\n== {text}", flush=True)


def config_of(site, lab):
    """The shipped example, its socket and state moved into the lab's folder."""
    text = (ROOT / "config" / "examples" / f"site-{site}.yaml").read_text()
    text = text.replace(f"/run/sealwire/site-{site}.sock", f"{lab.folder}/site-{site}.sock")
    return text.replace(f"/var/lib/sealwire/site-{site}", f"{lab.folder}/site-{site}.state")


def transmit_sas(config_text):
    """The keys that open what this site sends: (SCI, AN) -> Sa."""
    (line,) = yaml.safe_load(config_text)["lines"].values()
    macsec = line["macsec"]
    address, port = macsec["sci"].split("/")
    sci = bytes.fromhex(address.replace(":", "")) + int(port).to_bytes(2, "big")
    return {
        (sci, an): Sa(bytes.fromhex(sa["key"]), bytes.fromhex(sa.get("salt", "")), sa.get("ssci", 0))
        for an, sa in macsec["tx"]["sas"].items()
    }


def build_sites(lab):
    """Namespaces and wires; nothing runs in them yet."""
    names = {name: lab.namespace(name) for name in ("site-a", "box-a", "box-b", "site-b")}
    for site, facts in SITES.items():
        host, box = names[f"site-{site}"], names[f"box-{site}"]
        lab.wire(host, "lan", box, f"sw-{site}-lan")
        run("ip", "-n", host, "address", "add", f"{facts['host']}/24", "dev", "lan")
        run("ip", "-n", host, "route", "add", facts["far"], "via", facts["gateway"])
    lab.wire(names["box-a"], "sw-a-wan", names["box-b"], "sw-b-wan")
    return names


class Capture:
    """What comes off the wire, at both of its ends: a tap does not see what a box's own port sends (it bypasses the
    kernel's queues), so each direction is taken where it arrives."""

    def __init__(self, lab, names, name, *arguments):
        self.file = lab.folder / f"{name}.pcap"
        self.parts, self.processes = [], []
        for site in SITES:
            part, log = lab.folder / f"{name}-{site}.pcap", lab.folder / f"{name}-{site}.log"
            self.parts.append(part)
            self.processes.append(lab.spawn(names[f"box-{site}"], "tcpdump", "-i", f"sw-{site}-wan", "-n", "-U",
                                            "-Z", "root", "-B", "65536", "-w", part, *arguments, log=log))
            wait_until(lambda: "listening on" in log.read_text(), 10, "tcpdump does not listen")

    def end(self):
        """Stops it and merges both ends by time."""
        for process in self.processes:
            stop(process)
        run("mergecap", "-w", self.file, *self.parts, timeout=60)
        return self.file


def tshark(file, *arguments):
    return run("tshark", "-n", "-r", file, *arguments, timeout=100).stdout


def ping(lab, names, verdict):
    text = lab.enter(names["site-a"], "ping", "-c", PINGS, "-i", "0.1", "-W", "2", SITES["b"]["host"],
                     check=False).stdout
    received = re.search(r"(\d+) received", text)
    rtt = re.search(r"= [\d.]+/([\d.]+)/", text)
    got = int(received.group(1)) if received else 0
    verdict.claim(got == PINGS, f"ping: {got} of {PINGS} answered, {rtt.group(1) if rtt else '?'} ms on average")


def transfer(lab, names, verdict):
    """An iperf3 TCP transfer; the live tables are printed while it runs."""
    lab.spawn(names["site-b"], "iperf3", "-s", "-1", "-B", SITES["b"]["host"])
    wait_until(lambda: lab.enter(names["site-b"], "ss", "-Hltn", "sport = 5201").stdout, 10, "iperf3 does not listen")
    result = lab.folder / "iperf.json"
    client = lab.spawn(names["site-a"], "iperf3", "-c", SITES["b"]["host"], "-t", IPERF_SECONDS, "-J",
                       "--logfile", result)
    time.sleep(IPERF_SECONDS * 0.6)
    yield
    client.wait(IPERF_SECONDS + 30)
    end = json.loads(result.read_text()).get("end", {})
    octets = end.get("sum_received", {}).get("bytes", 0)
    rate = end.get("sum_received", {}).get("bits_per_second", 0) / 1e6
    retransmits = end.get("sum_sent", {}).get("retransmits", "?")
    verdict.claim(octets > 0, f"iperf3: {octets / 1e6:.0f} MB over TCP, {rate:.0f} Mbit/s, {retransmits} retransmits")


def copy_file(lab, names, verdict):
    """A file over HTTP from site B to site A, its checksum compared."""
    share = lab.folder / "share"
    share.mkdir()
    original, copy = share / "file", lab.folder / "copy"
    original.write_bytes(os.urandom(FILE_SIZE))
    lab.spawn(names["site-b"], "/usr/bin/python3", "-m", "http.server", "8080", "--bind", SITES["b"]["host"],
              "--directory", share)
    wait_until(lambda: lab.enter(names["site-b"], "ss", "-Hltn", "sport = 8080").stdout, 10, "no web server")
    begin = time.monotonic()
    fetched = lab.enter(names["site-a"], "curl", "-sS", "--max-time", "60", "-o", copy,
                        f"http://{SITES['b']['host']}:8080/file", check=False, timeout=70)
    seconds = time.monotonic() - begin
    same = copy.exists() and digest(original) == digest(copy)
    verdict.claim(same, f"file copy over HTTP: {FILE_SIZE >> 20} MiB in {seconds:.1f} s, SHA-256 "
                        f"{'equal' if same else 'differs ' + fetched.stderr.strip()}")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def judge_wire(lab, headers, sample, sas, verdict):
    """What was on the wire, by tshark and python-cryptography."""
    total = len(tshark(headers, "-T", "fields", "-e", "frame.number").splitlines())
    clear = tshark(headers, "-Y", "eth.type != 0x88e5", "-T", "fields", "-e", "eth.type").splitlines()
    verdict.claim(total > 0 and not clear, f"wire: {total} frames, {total - len(clear)} of them 0x88E5 (MACsec)")
    print(tshark(sample, "-c", "2").rstrip())
    opened_file = lab.folder / "opened.pcap"
    opened, refused, other = open_capture(sample, opened_file, sas)
    verdict.claim(opened > 0 and not refused and not other,
                  f"SecTAGs opened by python-cryptography: {opened} of {opened + refused + other} captured whole")
    inside = tshark(opened_file, "-Y", "esp", "-T", "fields", "-e", "esp.spi").split()
    others = tshark(opened_file, "-Y", "!esp", "-T", "fields", "-e", "frame.protocols").split()
    own = [protocols for protocols in others if protocols.endswith(("arp", "icmpv6"))]
    verdict.claim(len(set(inside)) == len(SITES) and len(own) == len(others),
                  f"inside them: {len(inside)} ESP packets with SPIs {', '.join(sorted(set(inside)))}; "
                  f"{len(own)} ARP and ND of the gateways, {len(others) - len(own)} other")
    print(tshark(opened_file, "-Y", "esp", "-c", "2").rstrip())


def judge_boxes(boxes, verdict):
    """The boxes' own word. A queue may overflow, a neighbour be unknown at first; nothing else may be lost."""
    for name, box in boxes.items():
        lost = {reason["reason"]: reason["packets"] for reason in box.show("drops")["drops"]
                if reason["kind"] == "lost" and reason["packets"]}
        expected = {"PacketTooBig", "TxFull", "NotForUs", "NoNeighbour", "PolicyDiscard"}
        verdict.claim(not set(lost) - expected, f"{name}: dropped {lost or 'nothing'}")


def show(boxes, verdict):
    """The live tables of both sides; a worker that carries the transfer is busy."""
    for name, box in boxes.items():
        load = 100 * max(core["load"] for core in box.show("cores")["cores"])
        verdict.claim(load > 0, f"{name}: its worker is {load:.0f} % busy during the transfer")
    for name, box in boxes.items():
        print(f"-- {name}: sealwire show lines; show cores; show sa; show secy")
        for what in ("lines", "cores", "sa", "secy"):
            print(box.cli("show", what).stdout.rstrip())


def keep_running(lab, names, boxes):
    say("running; try in another terminal, as root")
    print(f"  ip netns exec {names['site-a']} ping {SITES['b']['host']}")
    print(f"  ip netns exec {names['box-b']} tcpdump -n -e -i sw-b-wan")
    sealwire = os.path.relpath(build_dir() / "sealwire", ROOT)
    for box in boxes.values():
        print(f"  {sealwire} --api {box.socket} top")
        print(f"  vi {box.config}; {sealwire} --api {box.socket} reload")
    print("Press Ctrl-C (or send SIGTERM) to take it all down.", flush=True)
    try:
        while all(box.process.poll() is None for box in boxes.values()):
            time.sleep(1)
    except KeyboardInterrupt:
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave it running, with a hint of what to type next")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("demo: needs root, for network namespaces: sudo ./dev demo")
    take_down_on_signals()
    begin = time.monotonic()
    verdict = Verdict()
    with Lab("sw") as lab:
        say("two sites, two sealwired gateways, stages [esp, macsec]")
        names = build_sites(lab)
        if not arguments.keep:
            headers = Capture(lab, names, "headers", "-s", "64")
            sample = Capture(lab, names, "whole", "-c", SAMPLE_FRAMES)
        configs = {site: config_of(site, lab) for site in SITES}
        boxes = {f"site-{site}": lab.daemon(names[f"box-{site}"], f"site-{site}", text)
                 for site, text in configs.items()}
        for name, box in boxes.items():
            print(f"  {name}: sealwired -c {box.config.name} is up")
        if arguments.keep:
            keep_running(lab, names, boxes)
            return 0

        say("traffic from site A to site B")
        ping(lab, names, verdict)
        for _ in transfer(lab, names, verdict):
            show(boxes, verdict)
        copy_file(lab, names, verdict)

        say("what was on the wire")
        sas = {}
        for text in configs.values():
            sas.update(transmit_sas(text))
        judge_wire(lab, headers.end(), sample.end(), sas, verdict)

        say("the boxes")
        judge_boxes(boxes, verdict)
        for name, box in boxes.items():
            code = box.stop()
            verdict.claim(code == 0, f"{name}: stopped on SIGTERM with exit code {code}")
            if code:
                print(box.output())
    say("verdict")
    print(verdict.summary())
    say(f"{'all of it held' if not verdict.failed else f'{verdict.failed} claims FAILED'}, "
        f"{time.monotonic() - begin:.0f} s, nothing left behind")
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: interrupted, and taken down")
