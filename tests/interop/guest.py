"""A QEMU guest with Debian's own kernel and tools: the peer that nobody here wrote.

    with Guest("peer", netns="appliance0") as guest:
        code, output = guest.run("ip macsec show", timeout=10)

The guest is emulated (no KVM), has one processor and no disk. It is driven over a virtio-serial
port by guest/agent.py. Every wait has a limit; a guest never outlives the process that started it.
"""

import base64
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def _load_builder():
    loader = importlib.machinery.SourceFileLoader("guest_build", str(HERE / "guest" / "build"))
    spec = importlib.util.spec_from_loader("guest_build", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class GuestError(AssertionError):
    """The guest or a command in it failed; the message carries what is known."""


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Guest:
    """One guest. Attach network devices before start(); they are eth0, eth1, ... in that order."""

    def __init__(self, name, variant="peer", netns=None, memory_mib=512, append="", extra_initrd=None,
                 iommu=False):
        """`netns`: the host namespace that holds its TAPs. `append`: more of the kernel command
        line. `extra_initrd`: a cpio file laid over the image. `iommu`: a virtual IOMMU, and
        network devices behind it."""
        self.name = name
        self.netns = netns
        self.memory_mib = memory_mib
        self.append = append
        self.iommu = iommu
        self.extra_initrd = extra_initrd
        self.image = _load_builder().ensure(variant)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sealwire-{name}-"))
        self.console_path = self.folder / "console.log"
        self.process = None
        self.boot_seconds = None
        self._devices = []
        self._vhost_user = False
        self._socket = None
        self._pending = b""
        self._next_id = 1

    def add_tap(self, tap, mac, model="virtio-net-pci"):
        """Attaches an existing TAP device of the host namespace. One queue, no offloads."""
        index = len(self._devices)
        self._devices.append(["-netdev", f"tap,id=net{index},ifname={tap},script=no,downscript=no",
                              "-device", self._device_options(model, index, mac)])

    def add_vhost_user(self, path, mac):
        """Attaches to a vhost-user server (DPDK's net_vhost) that listens on `path`."""
        index = len(self._devices)
        self._vhost_user = True
        # Without vectors=0, QEMU 7.2 under TCG crashes when the guest masks an interrupt.
        self._devices.append(["-chardev", f"socket,id=chr{index},path={path},reconnect=1",
                              "-netdev", f"vhost-user,id=net{index},chardev=chr{index}", "-device",
                              self._device_options("virtio-net-pci", index, mac) + ",vectors=0"])

    def add_link(self, path, mac, listen):
        """Attaches to another guest by a Unix stream socket; the side that listens is started first."""
        index = len(self._devices)
        role = "server=on" if listen else "server=off"
        self._devices.append(
            ["-netdev", f"stream,id=net{index},addr.type=unix,addr.path={path},{role}", "-device",
             self._device_options("virtio-net-pci", index, mac)])

    def _device_options(self, model, index, mac):
        options = f"{model},netdev=net{index},mac={mac}"
        if model == "virtio-net-pci":
            # Checksums must be on the wire and frames of wire size: the other end is not a kernel.
            options += ",csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off"
            options += ",guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off"
            options += ",mrg_rxbuf=on,romfile="
            if self.iommu:
                options += ",disable-legacy=on,iommu_platform=on"
        return options

    def start(self, timeout=180):
        """Boots and waits until the agent answers."""
        agent = self.folder / "agent"
        initrd = self.image / "initrd"
        if self.extra_initrd:
            joined = self.folder / "initrd"
            with open(joined, "wb") as out:
                for part in (initrd, self.extra_initrd):
                    with open(part, "rb") as source:
                        shutil.copyfileobj(source, out)
            initrd = joined
        # norandmaps: QEMU keeps what it translated only for code at the same address, so with a new one for each
        # process every command would be translated again, which takes six times as long as running it.
        command_line = f"console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off norandmaps {self.append}"
        machine = "q35" + (",kernel-irqchip=split" if self.iommu else "")
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", machine,
                   "-cpu", "max", "-smp", "1", "-m", str(self.memory_mib), "-nodefaults",
                   "-no-user-config", "-display", "none", "-no-reboot",
                   "-serial", f"file:{self.console_path}", "-kernel", str(self.image / "vmlinux"),
                   "-initrd", str(initrd), "-append", command_line, "-device", "virtio-rng-pci",
                   "-device", "virtio-serial-pci",
                   "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
                   "-device", "virtserialport,chardev=agent,name=sealwire.agent"]
        if self._vhost_user:
            command += ["-object",
                        f"memory-backend-memfd,id=mem,size={self.memory_mib}M,share=on",
                        "-machine", "memory-backend=mem"]
        if self.iommu:
            command += ["-device", "intel-iommu,caching-mode=on"]
        for device in self._devices:
            command += device
        if self.netns:
            command = ["ip", "netns", "exec", self.netns] + command
        begin = time.monotonic()
        with open(self.folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, preexec_fn=_die_with_parent)
        try:
            self._connect(agent, begin + timeout)
        except BaseException:
            self.stop()
            raise
        self.boot_seconds = time.monotonic() - begin
        return self

    def _connect(self, path, deadline):
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            if self.process.poll() is not None:
                raise GuestError(f"guest {self.name} died at start\n{self.report()}")
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise GuestError(f"guest {self.name} has no agent port\n{self.report()}")
                time.sleep(0.02)
        answer = self._read_line(deadline)
        if "ready" not in answer:
            raise GuestError(f"guest {self.name}: unexpected greeting {answer}")

    def _read_line(self, deadline):
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestError(f"guest {self.name} does not answer\n{self.report()}")
            self._socket.settimeout(left)
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                raise GuestError(f"guest {self.name} is gone\n{self.report()}")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def _request(self, limit, **fields):
        if self._socket is None:
            raise GuestError(f"guest {self.name} is not running")
        request = {"id": self._next_id, **fields}
        self._next_id += 1
        self._socket.settimeout(limit)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise GuestError(f"guest {self.name} is gone: {error}\n{self.report()}") from None
        answer = self._read_line(time.monotonic() + limit)
        if answer["id"] != request["id"]:
            raise GuestError(f"guest {self.name}: answer {answer['id']} to {request['id']}")
        return answer["rc"], base64.b64decode(answer["out"])

    def run(self, command, timeout=60):
        """Runs shell text; returns (exit code, output). Code 124: killed when `timeout` ended."""
        code, output = self._request(timeout + 15, run=command, timeout=timeout)
        return code, output.decode(errors="replace")

    def check(self, command, timeout=60):
        """Like run(), but raises unless the command succeeds; returns its output."""
        code, output = self.run(command, timeout)
        if code != 0:
            raise GuestError(f"in guest {self.name}: `{command}` gave {code}:\n{output}")
        return output

    def prompt(self, read=input):
        """A tiny shell, for looking around after a case; `read` gives one line at a time."""
        limit = 60
        print(f"Each line is a shell of its own in the guest, for up to {limit} s; its output comes when it has ended. "
              "End with ^D.")
        while True:
            try:
                line = read("guest# ").strip()
            except EOFError:
                print()
                return
            if line in ("exit", "quit"):
                return
            if not line:
                continue
            code, output = self.run(line, timeout=limit)
            print(output, end="" if output.endswith("\n") or not output else "\n")
            if code:
                print(f"exit code {code}" + (f": ran for {limit} s and was killed" if code == 124 else ""))

    def spawn(self, command, log="/tmp/spawned.log"):
        """Starts shell text in the background; returns its process id (also its group's id)."""
        output = self.check(f"setsid bash -c {shlex.quote(command)} </dev/null >{log} 2>&1 & echo $!")
        return int(output.split()[-1])

    def kill(self, pid, name="TERM"):
        self.run(f"kill -{name} -- -{pid} 2>/dev/null || kill -{name} {pid}")

    def put(self, path, data, mode=0o644):
        """Writes a file in the guest; `data` is bytes or text."""
        data = data.encode() if isinstance(data, str) else data
        step = 1 << 20
        for start in range(0, max(len(data), 1), step):
            part = base64.b64encode(data[start:start + step]).decode()
            code, error = self._request(60, put=path, data=part, append=start > 0, mode=mode)
            if code != 0:
                raise GuestError(f"cannot write {path} in guest {self.name}: {error.decode()}")

    def get(self, path):
        """Reads a file of the guest as bytes."""
        code, data = self._request(60, get=path)
        if code != 0:
            raise GuestError(f"cannot read {path} in guest {self.name}: {data.decode()}")
        return data

    def wait_until(self, command, timeout=60, interval=0.05):
        """Runs `command` until it succeeds; returns its last output, raises after `timeout`."""
        deadline = time.monotonic() + timeout
        while True:
            code, output = self.run(command, timeout)
            if code == 0:
                return output
            if time.monotonic() > deadline:
                raise GuestError(f"in guest {self.name}: `{command}` never succeeded:\n{output}")
            time.sleep(interval)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def console(self):
        try:
            return self.console_path.read_text(errors="replace")
        except OSError:
            return ""

    def report(self):
        """What to attach to a failure."""
        qemu = (self.folder / "qemu.log").read_text(errors="replace")
        return f"--- qemu of {self.name}\n{qemu}--- console of {self.name}\n{self.console()[-8000:]}"

    def stop(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.stop()
