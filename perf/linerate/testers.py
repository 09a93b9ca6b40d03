"""What stands around a line under test: generators (testpmd, pktgen) and a sink (testpmd), each a process with one device.

A device is a PCI address, whose port is already bound to its driver, or a DPDK virtual device with its arguments. Only
named PCI ports are touched.
"""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

from lab import stop, telemetry, wait_until

TESTPMD, PKTGEN = "dpdk-testpmd", "pktgen"
PCI = re.compile(r"([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.I)


def checksum(header):
    """Of an IPv4 header whose own is zero (RFC 791)."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def write_pcap(path, size, destination, source, addresses, flows=64):
    """UDP frames of `flows` ports, `size` octets each with the frame check sequence, which is not written. `destination` and
    `source` are MAC addresses, `addresses` the IPv4 addresses from and to."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for flow in range(flows):
            length = size - 4
            udp = struct.pack(">HHHH", 1024 + flow, 9, length - 34, 0)
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length - 14, flow, 0, 64, 17, 0,
                             *(socket.inet_aton(address) for address in addresses))
            ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
            frame = bytes.fromhex((destination + source).replace(":", "")) + b"\x08\0" + ip + udp
            frame += bytes([flow]) * (length - len(frame))
            out.write(struct.pack("<IIII", 0, 0, length, length) + frame)


def settled(count, pause):
    """What `count()` gives when it gives the same twice, `pause` seconds apart."""
    found, earlier = count(), None
    while found != earlier:
        time.sleep(pause)
        found, earlier = count(), found
    return found


class Tester:
    """A DPDK program that takes commands on its standard input. `cores`: two CPUs, or none to share all there are."""

    def __init__(self, lab, name, program, package, device, cores, memory, *arguments, extra=()):
        if not shutil.which(program):
            raise RuntimeError(f"{program} is not installed: {package}")
        everywhere = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
        main, worker = cores or (f"({everywhere})",) * 2
        # Cards need hugepages, whose files would keep them; what the others need must not depend on any.
        ports = (["--huge-unlink", "-a", device] if PCI.fullmatch(device)
                 else ["--no-pci", "--no-huge", "-m", str(memory), f"--vdev={device}"])
        # Without stdbuf its answers stay in the C library's buffer.
        command = ["stdbuf", "-oL", program, "--file-prefix", f"{lab.prefix}-{name}", "--lcores", f"0@{main},1@{worker}",
                   *ports, *(f"--vdev={one}" for one in extra), *arguments]
        self.lab, self.name, self.program, self.said = lab, name, program, ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace", bufsize=1, env={**os.environ, **lab.environment})
        lab.processes.append(self.process)
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        with contextlib.suppress(BrokenPipeError), self.process.stdin, self.process.stdout:
            for line in self.process.stdout:
                self.said += line

    def failed(self, what):
        return RuntimeError(f"{self.program} as {self.name} {what}; its last output:\n{self.said[-2000:]}")

    def check_alive(self):
        if self.process.poll() is not None:
            self.listener.join()
            raise self.failed(f"ended with {self.process.returncode}")

    def say(self, command):
        try:
            self.process.stdin.write(command + "\n")
        except (BrokenPipeError, ValueError):  # it has ended, or is about to
            self.process.wait()
            self.check_alive()

    def until(self, condition, what):
        """Waits for it as long as the program lives."""
        def met():
            self.check_alive()
            return condition()

        try:
            return wait_until(met, 20, "")
        except TimeoutError:
            raise self.failed(what) from None


class Testpmd(Tester):
    """An interactive testpmd that forwards between `device` and a virtual device of its own."""

    def __init__(self, lab, name, device, own, cores, *options):
        super().__init__(lab, name, TESTPMD, "it is in Debian's package dpdk-dev", device, cores, 256, "--no-telemetry",
                         "--", "-i", "--nb-cores=1", "--total-num-mbufs=32768", "--no-flush-rx", *options, extra=[own])
        # Cards come before virtual devices. A memif client asks again for its server whenever its link is looked at.
        row = rf"\n(\d+) +\S+ +{re.escape(device.partition(',')[0])} +\S+ +(up|down)"
        self.port = self.until(lambda: self._port_of(self.ask("show port summary all", row)), "has no link")

    @staticmethod
    def _port_of(found):
        return found[1] if found[2] == "up" else None

    def ask(self, command, answer):
        """Gives a command; the first match of `answer` in what is said from then on."""
        begin = len(self.said)
        self.say(command)
        return self.until(lambda: re.search(answer, self.said[begin:]), f"does not answer '{command}'")

    def start(self):
        self.ask("start", "packets/burst")

    def stop(self):
        self.ask("stop", "Done")

    def counts(self):
        """{RX-packets, TX-packets, TX-dropped, ...} of the device since the last start."""
        found = self.ask("show fwd stats all", rf"(?s)statistics for port {self.port} .*?(RX-packets:.*?TX-total: +\d+)")
        return {name: int(value) for name, value in re.findall(r"(\wX-\w+): +(\d+)", found[1])}

    def missed(self):
        """Frames for which its device had no room, ever."""
        return int(self.ask(f"show port stats {self.port}", r"RX-missed: +(\d+)")[1])


class TestpmdGenerator(Testpmd):
    """Sends the frames of a file over and over; its brake is so many memory look-ups for each frame (noisy mode)."""

    MOST_BRAKE = 1 << 16  # some thousand frames a second

    def __init__(self, lab, device, frames, cores, brake):
        super().__init__(lab, "generator", device, f"net_pcap0,rx_pcap={frames},infinite_rx=1", cores,
                         "--forward-mode=noisy", "--noisy-lkup-memory=1", f"--noisy-lkup-num-reads={brake}")

    def sent(self):
        """Frames that it has sent, and those that its device did not take."""
        counts = self.counts()
        return counts["TX-packets"], counts["TX-dropped"]


class Pktgen(Tester):
    """Sends the frames of a file over and over, at a rate of the link's speed; it waits where its device does not take them.
    Its brake is what is missing to 100 %, in hundredths of a per cent."""

    MOST_BRAKE = 9999

    def __init__(self, lab, device, frames, cores, brake):
        super().__init__(lab, "generator", PKTGEN, "docs/benchmarking.md tells where to get it", device, cores, 2048,
                         "--", "-m", "1.0", "-s", f"0:{frames}")
        self.path = lab.folder / "dpdk" / f"{lab.prefix}-generator" / "dpdk_telemetry.v2"
        self.until(lambda: "Pktgen:/>" in self.said and self._ask("/ethdev/link_status,0")["status"] == "UP", "has no link")
        self.say(f"set 0 rate {(10_000 - brake) / 100}")

    def _ask(self, command):
        """It shows its counters on a screen; DPDK's telemetry tells them to programs."""
        return telemetry(self.path, command)

    def start(self):
        self.say("start 0")

    def stop(self):
        self.say("stop 0")

    def sent(self):
        return settled(lambda: self._ask("/ethdev/stats,0")["opackets"], 0.1), 0  # it stops at the end of a burst


GENERATORS = {"testpmd": TestpmdGenerator, "pktgen": Pktgen}


class Sink(Testpmd):
    """Counts what it receives, or writes it to the file `capture`."""

    def __init__(self, lab, device, cores, capture=None):
        super().__init__(lab, "sink", device, f"net_pcap0,tx_pcap={capture}" if capture else "net_null0,no-rx=1", cores,
                         "--forward-mode=io")

    def received_in_all(self):
        """When nothing comes any more."""
        return settled(lambda: self.counts()["RX-packets"], 0.3)


def trial(sink, generator, seconds):
    """Offers frames for so long, and waits for all that is on its way. The generator ends with it. Seconds that it lasted,
    frames sent, those that the generator's device did not take, and received."""
    sink.start()
    begin = time.monotonic()
    generator.start()
    time.sleep(seconds)
    lasted = time.monotonic() - begin
    generator.stop()
    sent, refused = generator.sent()
    received = sink.received_in_all()
    sink.stop()
    stop(generator.process)
    return lasted, sent, refused, received
