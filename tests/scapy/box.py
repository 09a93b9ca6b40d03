"""One running sealwired between files: frames in by net_pcap, frames out by net_pcap, nothing else in the way.

A Box has lines. Each line is given the frames that reach its inside and its outside port; `run()` starts the daemon
once for all of them, waits until every frame was taken and finished, stops it, and says what came out and what was
counted.
"""

import hashlib
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))
import lab  # noqa: E402

SEED = 20240229  # of everything random in these tests


def key(name, length):
    """A key for `name`: the same in every run, no two alike."""
    return hashlib.shake_256(b"sealwire scapy " + name.encode()).digest(length)


def write_pcap(file, frames):
    with open(file, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            out.write(struct.pack("<IIII", number, 0, len(frame), len(frame)) + frame)


def read_pcap(file):
    data = Path(file).read_bytes()
    magic = data[:4]
    if magic not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        raise ValueError(f"{file} is no capture")
    frames, at = [], 24
    while at < len(data):
        length, original = struct.unpack_from("<II", data, at + 8)
        assert length == original, "a frame was cut"
        frames.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return frames


class Line:
    """A line of a box: `settings` is YAML of the line below stages, inside and outside."""

    def __init__(self, name, stages, settings, inside=(), outside=(), mtu=1500, outside_mtu=None,
                 inside_mac="02:00:00:00:01:01", outside_mac="02:00:00:00:01:02"):
        self.macs = inside_mac, outside_mac
        self.name, self.stages, self.settings = name, stages, settings
        self.inside, self.outside = list(inside), list(outside)
        self.mtu, self.outside_mtu = mtu, outside_mtu or mtu + 32
        # Set by the run: frames that left, {reason: packets} by direction, and the rows of `show lines`.
        self.sealed, self.delivered = [], []
        self.drops = {"egress": {}, "ingress": {}}
        self.flow = {}


class Box:
    def __init__(self, engine="auto", workers=1):
        self.engine, self.workers = engine, workers
        self.lines = []
        self.secys, self.sas = {}, {}
        self.log = ""

    def add(self, line):
        self.lines.append(line)
        return line

    def config(self, folder):
        text = f"""sealwire: 1
lab: true
system:
  workers: {self.workers}
  hugepages: never
  api-socket: {folder}/api.sock
  state-directory: {folder}/state
  log-level: error
  dpdk-telemetry: false
ports:
"""
        for number, line in enumerate(self.lines):
            for side, mac, mtu in (("in", line.macs[0], line.mtu), ("out", line.macs[1], line.outside_mtu)):
                files = f"{folder}/{number}-{side}"
                device = f"net_pcap_{number}_{side},rx_pcap={files}-rx.pcap,tx_pcap={files}-tx.pcap"
                text += (f'  {line.name}-{side}: {{device: "{device}", mac: "{mac}", mtu: {mtu}, '
                         "rx-descriptors: 64, tx-descriptors: 64}\n")
        text += "lines:\n"
        for line in self.lines:
            text += f"  {line.name}:\n    stages: [{line.stages}]\n    engine: {self.engine}\n"
            text += f"    inside: [{line.name}-in]\n    outside: [{line.name}-out]\n"
            text += "".join(f"    {row}\n" for row in line.settings.strip("\n").split("\n"))
        return text

    def run(self, timeout=60):
        folder = Path(tempfile.mkdtemp(prefix="sealwire-scapy-"))
        process = None
        try:
            for number, line in enumerate(self.lines):
                write_pcap(folder / f"{number}-in-rx.pcap", line.inside)
                write_pcap(folder / f"{number}-out-rx.pcap", line.outside)
            (folder / "box.yaml").write_text(self.config(folder))
            lab.run(lab.build_dir() / "sealwire", "state", "init", folder / "state")
            with open(folder / "log", "wb") as log:
                process = subprocess.Popen([lab.build_dir() / "sealwired", "-c", folder / "box.yaml"],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                self._wait(process, folder, timeout)
                self._figures(folder)
            finally:
                code = lab.stop(process)
                self.log = (folder / "log").read_text(errors="replace")
                if code != 0:
                    raise AssertionError(f"sealwired ended with {code}:\n{self.log[-4000:]}")
            for number, line in enumerate(self.lines):
                line.delivered = read_pcap(folder / f"{number}-in-tx.pcap")
                line.sealed = read_pcap(folder / f"{number}-out-tx.pcap")
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)
        return self

    def _show(self, folder, what):
        result = lab.run(lab.build_dir() / "sealwire", "--api", folder / "api.sock", "show", what, "--json",
                         check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def _wait(self, process, folder, timeout):
        """Until every frame was taken and has its verdict, and the control thread has settled too."""
        end = time.monotonic() + timeout
        before = None
        while time.monotonic() < end:
            if process.poll() is not None:
                return  # run() says how it ended
            rows = self._show(folder, "lines") if (folder / "api.sock").exists() else None
            if rows:
                rows = {row["name"]: row for row in rows["lines"]}
                now = [[rows[line.name][way][count] for way in ("egress", "ingress")
                        for count in ("rx_packets", "tx_packets", "dropped")] for line in self.lines]
                taken = all(rows[line.name]["egress"]["rx_packets"] == len(line.inside) and
                            rows[line.name]["ingress"]["rx_packets"] == len(line.outside) for line in self.lines)
                if taken and now == before:
                    return
                before = now
            time.sleep(0.1)
        raise AssertionError(f"after {timeout} s: {before}")

    def _figures(self, folder):
        lines = {line.name: line for line in self.lines}
        for row in self._show(folder, "lines")["lines"]:
            lines[row["name"]].flow = {what: row[what] for what in ("egress", "ingress", "engine")}
        for row in self._show(folder, "drops")["drops"]:
            lines[row["line"]].drops[row["direction"]][row["reason"]] = row["packets"]
        self.secys = {row["line"]: row for row in self._show(folder, "secy")["secys"]}
        self.sas = {(row["line"], row["name"]): row for row in self._show(folder, "sa")["sas"]}


def safe(name):
    return re.sub("[^a-z0-9-]", "-", name.lower())
