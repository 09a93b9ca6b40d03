#!/usr/bin/python3
"""What the running daemon's process lets out and what it may do: locked memory, no core file, no reading by others."""

import re
import resource
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

CONFIG = """sealwire: 1
lab: true
system:
  workers: 1
  hugepages: never
  api-socket: {folder}/d.sock
  state-directory: {folder}/d.state
ports:
  in: {device: net_null_in, mac: "02:00:00:00:00:01"}
  out: {device: net_null_out, mac: "02:00:00:00:00:02", mtu: 1600}
lines:
  fibre:
    stages: [macsec]
    inside: [in]
    outside: [out]
    macsec:
      sci: "02:00:00:00:00:02/1"
      tx: {encoding-sa: 0, sas: {0: {key: "00112233445566778899aabbccddeeff"}}}
      rx: {peer: {sci: "02:00:00:00:00:03/1", sas: {0: {key: "ffeeddccbbaa99887766554433221100"}}}}
"""


def without(*capabilities):
    """A prefix that runs a command as root by its number, without these capabilities."""
    names = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", "--bounding-set", names, "--inh-caps", names]


# What lets root look into processes that do not want it.
BLIND = without("sys_ptrace", "perfmon", "sys_admin")


class Running(unittest.TestCase):
    def setUp(self):
        self.lab = labs.Lab("pr")
        self.addCleanup(self.lab.close)
        self.namespace = self.lab.namespace("box")
        self.config = CONFIG

    def start(self, *prefix):
        """The daemon, its command line behind `prefix`; its directory in /proc."""
        program, spawn = labs.build_dir() / "sealwired", self.lab.spawn
        if prefix:
            self.lab.spawn = lambda namespace, command, *rest, **more: spawn(
                namespace, *(prefix if command == program else ()), command, *rest, **more)
        self.daemon = self.lab.daemon(self.namespace, "d", self.config)
        return Path("/proc") / str(self.daemon.process.pid)


class Process(Running):
    def threads(self, proc):
        """{name of the thread: [(its capabilities, whether it may gain some)]}"""
        found = {}
        for task in (proc / "task").iterdir():
            status = (task / "status").read_text()
            rights = [int(re.search(rf"^{name}:\s+(\w+)", status, re.M)[1], 16)
                      for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
            stuck = re.search(r"^NoNewPrivs:\s+(\d)", status, re.M)[1]
            found.setdefault((task / "comm").read_text().strip(), []).append((rights, stuck))
        return found

    def test_threads_that_read_what_strangers_send_have_no_rights(self):
        self.config = CONFIG.replace("system:\n", "system:\n  metrics: 127.0.0.1:9464\n")
        threads = self.threads(self.start())
        for prefix in ("rte-worker-1", "civetweb"):
            strangers = [one for name, all in threads.items() if name.startswith(prefix) for one in all]
            self.assertTrue(strangers, (prefix, list(threads)))
            for rights, _ in strangers:
                self.assertEqual([one & ~(1 << 14) for one in rights], [0, 0, 0, 0], prefix)  # but ipc_lock

    def test_no_thread_has_more_rights_than_ports_and_files_take(self):
        # dac_override, net_admin, net_raw, ipc_lock
        kept = 1 << 1 | 1 << 12 | 1 << 13 | 1 << 14
        for name, all in self.threads(self.start()).items():
            for rights, stuck in all:
                self.assertEqual((rights[0] & ~kept, rights[1] & ~kept, rights[2], rights[3]), (0, 0, 0, 0), name)
                self.assertEqual(stuck, "1", name)

    def test_there_is_no_core_file(self):
        proc = self.start()
        self.assertRegex((proc / "limits").read_text(), r"Max core file size +0 +0 ")

    def test_nobody_of_the_same_user_reads_it(self):
        proc = self.start(*BLIND)
        other = subprocess.Popen([*BLIND, "sleep", "60"])
        self.lab.processes.append(other)

        def reads(directory):
            return subprocess.run([*BLIND, "cat", directory / "environ"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode == 0

        labs.wait_until(lambda: reads(Path("/proc") / str(other.pid)), 5, "the test itself is not allowed to read")
        self.assertFalse(reads(proc))


class Memory(Running):
    def test_every_page_that_can_hold_a_key_is_locked(self):
        proc = self.start()
        maps, name = {}, None
        for row in (proc / "smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", row):
                name = row
            elif row.startswith("VmFlags:"):
                maps[name] = row.split()[1:]
        # What the kernel itself maps (vvar, vdso) cannot be locked and holds nothing of ours.
        written = {name: flags for name, flags in maps.items() if " rw" in name and "io" not in flags}
        self.assertTrue(any("[heap]" in name for name in written))
        self.assertTrue(any("[stack]" in name for name in written))
        self.assertEqual([name for name, flags in written.items() if "lo" not in flags], [])
        self.assertNotIn("memory may be swapped out", self.daemon.output())
        self.assertEqual(re.search(r"VmSwap:\s+(\d+)", (proc / "status").read_text())[1], "0")

    def test_without_the_right_to_lock_it_says_so_and_runs(self):
        # Where we may, a limit that the process itself fits in: the addresses that EAL maps do not.
        hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        limit = 1 << 30 if hard == resource.RLIM_INFINITY else min(1 << 30, hard)
        self.start("prlimit", f"--memlock={limit}:{limit}", *without("ipc_lock", "sys_resource"))
        self.assertIn("memory may be swapped out", self.daemon.output())
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
