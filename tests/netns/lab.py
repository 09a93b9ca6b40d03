"""Network namespaces, veth wires and sealwired processes for tests and the demo.

Everything a Lab makes carries its own prefix and is gone after `close()`, also after a failure: use it as a context
manager. Nothing outside the namespaces made here is ever touched.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build_dir():
    """The build tree under test: $SEALWIRE_BUILD, or where ctest says, else the release build."""
    given = os.environ.get("SEALWIRE_BUILD") or os.environ.get("SEALWIRE_BUILD_DIR")
    return Path(given or ROOT / "build" / "release")


def run(*command, timeout=30, check=True, **kwargs):
    """Runs a command to its end; returns its CompletedProcess with text output."""
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=timeout, **kwargs
    )
    if check and result.returncode != 0:
        raise RuntimeError(
            f"{' '.join(map(str, command))} failed with {result.returncode}:\n{result.stdout}{result.stderr}"
        )
    return result


def wait_until(condition, timeout, what):
    """Polls `condition` until it is true; fails with `what` when `timeout` seconds have passed."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {timeout} s")


def telemetry(path, command):
    """What the DPDK program whose telemetry socket is at `path` answers to `command`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.recv(1 << 14)  # greeting
        client.send(command.encode())
        return json.loads(client.recv(1 << 16))[command.partition(",")[0]]


def take_down_on_signals():
    """SIGTERM is as Ctrl-C, KeyboardInterrupt; what follows, the taking down, is not interrupted again."""
    def interrupted(*_):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)


class Lab:
    """Namespaces, wires and daemons with one prefix, taken down together."""

    def __init__(self, prefix):
        self.prefix = f"{prefix}{os.getpid() % 100000}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"sealwire-{self.prefix}-"))
        self.namespaces = []
        self.processes = []
        self.environment = {}  # more of it, for processes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def namespace(self, name):
        """A namespace of our own, silent by itself: no IPv6 autoconfiguration, loopback up."""
        full = f"{self.prefix}-{name}"
        run("ip", "netns", "add", full)
        self.namespaces.append(full)
        for setting in ("all.disable_ipv6=1", "default.disable_ipv6=1"):
            run("ip", "netns", "exec", full, "sysctl", "-qw", f"net.ipv6.conf.{setting}")
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def wire(self, left, left_name, right, right_name, mtu=1500):
        """A veth pair between two namespaces, checksums and segments finished by the sender (af_packet needs that)."""
        run("ip", "link", "add", left_name, "netns", left, "mtu", mtu, "type", "veth",
            "peer", "name", right_name, "netns", right, "mtu", mtu)
        for namespace, name in ((left, left_name), (right, right_name)):
            run("ip", "netns", "exec", namespace, "ethtool", "-K", name,
                "rx", "off", "tx", "off", "gso", "off", "tso", "off", "gro", "off")
            run("ip", "-n", namespace, "link", "set", name, "up")

    def spawn(self, namespace, *command, log=None, **kwargs):
        """Starts a background process inside a namespace; it ends with the lab."""
        out = open(log, "ab") if log else subprocess.DEVNULL
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *[str(word) for word in command]],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            **{"env": {**os.environ, **self.environment}, **kwargs})
        if log:
            out.close()
        self.processes.append(process)
        return process

    def enter(self, namespace, *command, **kwargs):
        """Runs a command inside a namespace to its end."""
        return run("ip", "netns", "exec", namespace, *command, **kwargs)

    def daemon(self, namespace, name, config_text):
        """Starts sealwired with a config inside a namespace and waits until it answers; `{folder}` in the config is
        replaced by the lab's folder."""
        return Daemon(self, namespace, name, config_text.replace("{folder}", str(self.folder)))

    def close(self, keep_folder=False):
        for process in reversed(self.processes):
            stop(process)
        for namespace in self.namespaces:
            run("ip", "netns", "del", namespace, check=False)
        if not keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def stop(process, timeout=10):
    """Ends a process: SIGTERM, then SIGKILL when it does not listen. Returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def documented_metrics():
    """{name: kind} of docs/reference/metrics.md."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return dict(re.findall(r"^\| `(sealwire_\w+)` \| (counter|gauge) \|", text, re.M))


class Daemon:
    """A running sealwired and its command line."""

    def __init__(self, lab, namespace, name, config_text):
        self.lab, self.namespace, self.name = lab, namespace, name
        self.config = lab.folder / f"{name}.yaml"
        self.log = lab.folder / f"{name}.log"
        self.socket = lab.folder / f"{name}.sock"
        self.state = lab.folder / f"{name}.state"
        self.config.write_text(config_text)
        if not self.state.exists():
            run(build_dir() / "sealwire", "state", "init", self.state)
        self.start()

    def start(self):
        self.process = self.lab.spawn(self.namespace, build_dir() / "sealwired", "-c", self.config, log=self.log)
        try:
            wait_until(lambda: self.answers() or self.process.poll() is not None, 30, f"{self.name} does not answer")
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.output()}") from None
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")

    def answers(self):
        return self.socket.exists() and self.cli("show", "lines", check=False).returncode == 0

    def cli(self, *words, check=True):
        """`sealwire WORDS` against this daemon."""
        return run(build_dir() / "sealwire", "--api", self.socket, *words, check=check)

    def show(self, what):
        """`sealwire show WHAT --json`, parsed."""
        return json.loads(self.cli("show", what, "--json").stdout)

    def scrape(self, path="/metrics"):
        """Its metrics, from within its namespace: {name: {labels as written: value}}, and what each is."""
        text = self.lab.enter(self.namespace, "/usr/bin/python3", "-c",
                              "import sys, urllib.request\n"
                              "print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())",
                              f"http://127.0.0.1:9464{path}").stdout
        values, kinds = {}, {}
        for row in text.splitlines():
            if row.startswith("# TYPE "):
                _, _, name, kind = row.split()
                kinds[name] = kind
            elif row and not row.startswith("#"):
                name, labels, value = re.fullmatch(r"(\w+)(?:{(.*)})? (\S+)", row).groups()
                values.setdefault(name, {})[labels or ""] = float(value)
        return values, kinds

    def resident(self):
        """Octets of memory in use."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        return stop(self.process)
