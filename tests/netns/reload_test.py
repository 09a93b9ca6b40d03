#!/usr/bin/python3
"""What the daemon does with its configuration file: at its start, at a reload and with the time. On null devices, so no
traffic: that a reload loses none is tested with the gateways and wires."""

import os
import signal
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

KEYS = [f"{number:02x}" * 20 for number in range(1, 9)]  # of AES-GCM-128: 16 octets and a salt of 4


def line(number, sas, action="protect"):
    """A gateway line between two null devices; `sas`: {name: (direction, SPI, index in KEYS, more settings)}."""
    text = f"""  gw{number}:
    stages: [esp]
    inside: [in{number}]
    outside: [out{number}]
    gateway:
      addresses: {{in{number}: [10.{number}.0.1/24], out{number}: [192.0.2.1/24]}}
      routes: {{10.99.0.0/16: {{via: 192.0.2.2, port: out{number}}}}}
    esp:
"""
    if sas:
        text += "      sas:\n"
    for name, (direction, spi, key, *more) in sas.items():
        ends = ("192.0.2.1", "192.0.2.2") if direction == "out" else ("192.0.2.2", "192.0.2.1")
        accepts = f", selectors: [{{destination: [10.{number}.0.0/24]}}]" if direction == "in" else ""
        text += (f'        {name}: {{direction: {direction}, spi: {spi:#x}, algorithm: aes-gcm-128, '
                 f'key: "{KEYS[key]}", source: {ends[0]}, destination: {ends[1]}{accepts}{"".join(more)}}}\n')
    target = ", sa: to, inbound-sa: from" if action == "protect" else ""
    return text + f"      policies:\n        all: {{action: {action}{target}, source: [10.{number}.0.0/24]}}\n"


def sas_of(number, out_key=0):
    first = 4 * (number - 1)
    return {"to": ("out", 0x1000 + number, first + out_key), "from": ("in", 0x2000 + number, first + 2)}


def config(*lines, system=""):
    ports = "".join(f'  {side}{number}: {{device: net_null_{side}{number}, mac: "02:00:00:00:{number:02x}:{mac}"}}\n'
                    for number in range(1, len(lines) + 1) for side, mac in (("in", "01"), ("out", "02")))
    return f"""sealwire: 1
lab: true
system:
  workers: 1
  hugepages: never
  api-socket: {{folder}}/d.sock
  state-directory: {{folder}}/d.state
{system}ports:
{ports}lines:
{"".join(lines)}"""


class Reload(unittest.TestCase):
    def setUp(self):
        self.lab = labs.Lab("rl")
        self.addCleanup(self.lab.close)
        self.namespace = self.lab.namespace("box")

    def start(self, *lines, **system):
        self.daemon = self.lab.daemon(self.namespace, "d", config(*lines, **system))
        return self.daemon

    def write(self, *lines, **system):
        self.daemon.config.write_text(config(*lines, **system).replace("{folder}", str(self.lab.folder)))

    def sas(self):
        return {(sa["line"], sa["name"]): (sa["spi"], sa["state"]) for sa in self.daemon.show("sa")["sas"]}

    def test_all_lines_change_or_none(self):
        daemon = self.start(line(1, sas_of(1)), line(2, sas_of(2)))
        before = self.sas()
        # The second line's inbound SA gets another name: its SPI is in use, and that is refused. The first line's
        # changes are good.
        renamed = {"to": sas_of(2)["to"], "other": sas_of(2)["from"], "from": ("in", 0x2999, 7)}
        first = sas_of(1, out_key=1)
        first["to"] = ("out", 0x1111, 1)
        self.write(line(1, first, action="discard"), line(2, renamed))
        result = daemon.cli("reload", check=False)
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("lines.gw2.esp.sas.other", result.stderr)
        self.assertIn("nothing was changed", result.stderr)
        self.assertEqual(self.sas(), before)
        # The same within one line: a good SA beside a bad one.
        self.write(line(1, {**sas_of(1), "to": ("out", 0x1111, 1), "more": ("in", 0x2001, 3)}), line(2, sas_of(2)))
        result = daemon.cli("reload", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.sas(), before)
        # What is good is done, and said.
        self.write(line(1, first, action="discard"), line(2, sas_of(2)))
        done = daemon.cli("reload").stdout
        self.assertIn("lines.gw1.esp.sas.to: replaced", done)
        self.assertIn("lines.gw1.esp.policies: changed", done)
        self.assertNotIn("gw2", done)
        self.assertEqual(self.sas()["gw1", "to"][0], "0x00001111")

    def test_sighup_reloads(self):
        daemon = self.start(line(1, sas_of(1)))
        self.write(line(1, {**sas_of(1), "to": ("out", 0x1111, 1)}))
        daemon.process.send_signal(signal.SIGHUP)
        labs.wait_until(lambda: self.sas()["gw1", "to"][0] == "0x00001111", 10, "SIGHUP does not reload")
        daemon.config.write_text("sealwire: 1\nlines: {gw1: {stages: [esq]}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        labs.wait_until(lambda: "stages" in daemon.output(), 10, "the mistake is not logged")
        self.assertEqual(self.sas()["gw1", "to"], ("0x00001111", "in use"))

    def test_time_lifetimes(self):
        limits = ", lifetime: {soft-time: 1s, hard-time: 3s}"
        daemon = self.start(line(1, {"to": ("out", 0x1001, 0, limits), "from": ("in", 0x2001, 2, limits)}))
        self.assertEqual(len(self.sas()), 2)
        labs.wait_until(lambda: not self.sas(), 10, "the SAs outlive their hard lifetime")
        log = daemon.output()
        for name in ("to", "from"):
            soft = log.index(f"lines.gw1.esp.sas.{name}: soft lifetime reached")
            self.assertGreater(log.index(f"lines.gw1.esp.sas.{name}: hard lifetime reached"), soft)
        # The same file brings them back.
        self.assertIn("added", daemon.cli("reload").stdout)

    def test_this_host_is_checked_at_the_start_and_at_a_reload(self):
        absent = "  control-core: 999\n"
        daemon = self.start(line(1, sas_of(1)))
        self.write(line(1, {**sas_of(1), "to": ("out", 0x1111, 1)}), system=absent)
        result = daemon.cli("reload", check=False)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr, r"d\.yaml:\d+:\d+: SW-CFG-\d+: system\.control-core: lcore 999 is not online")
        self.assertEqual(self.sas()["gw1", "to"][0], "0x00001001")
        self.assertEqual(daemon.stop(), 0)
        code, said = self.refused(daemon.config)
        self.assertEqual(code, 2)
        self.assertIn("system.control-core: lcore 999 is not online", said)
        checked = labs.run(labs.build_dir() / "sealwire", "check", daemon.config, "--host", check=False)
        lines = [text for text in said.splitlines() if "control-core" in text]
        self.assertIn(lines[0], checked.stdout)

    def refused(self, file, **environment):
        """Starts a daemon that must not run: its exit code and what it said."""
        result = self.lab.enter(self.namespace, labs.build_dir() / "sealwired", "-c", file, check=False,
                                env={**os.environ, **environment})
        return result.returncode, result.stderr

    def file_of(self, name, text):
        """A configuration with a state directory of its own; `{folder}/d.` in it becomes `{folder}/NAME.`."""
        file = self.lab.folder / f"{name}.yaml"
        file.write_text(text.replace("{folder}/d.", f"{self.lab.folder}/{name}."))
        labs.run(labs.build_dir() / "sealwire", "state", "init", self.lab.folder / f"{name}.state")
        return file

    def test_niap_a_failed_self_test_stops_the_data_plane(self):
        # OpenSSL with one bit of each tag changed on its way out.
        source = self.lab.folder / "wrong.c"
        source.write_text(r"""
#define _GNU_SOURCE
#include <dlfcn.h>
typedef int ctrl(void*, int, int, void*);
int EVP_CIPHER_CTX_ctrl(void* context, int type, int argument, void* pointer) {
  static ctrl* real;
  if (!real) real = (ctrl*)dlsym(RTLD_NEXT, "EVP_CIPHER_CTX_ctrl");
  int done = real(context, type, argument, pointer);
  if (type == 0x10) *(unsigned char*)pointer ^= 1; /* EVP_CTRL_AEAD_GET_TAG */
  return done;
}
""")
        library = self.lab.folder / "wrong.so"
        labs.run("cc", "-shared", "-fPIC", "-o", library, source, "-ldl")
        text = config(line(1, sas_of(1)).replace("    gateway:", "    engine: openssl\n    gateway:"))
        # The address sanitizer does not mind a library before its own that replaces nothing of the allocator's.
        sanitizer = f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"
        code, said = self.refused(self.file_of("d", text), LD_PRELOAD=str(library), ASAN_OPTIONS=sanitizer)
        self.assertEqual(code, 1, said)
        self.assertRegex(said, r"SW-CRY-040: lines\.gw1\.engine: .*openssl.*; nothing is forwarded")
        self.assertNotIn("ready", said)

    def test_a_crypto_device_that_does_nothing_is_refused(self):
        text = config(line(1, sas_of(1)).replace("    gateway:", "    engine: \"cryptodev:crypto_null0\"\n    gateway:"))
        code, said = self.refused(self.file_of("d", text))
        self.assertEqual(code, 2, said)
        self.assertRegex(said, r"SW-CFG-051: lines\.gw1\.engine: .*crypto_null")

    def test_metrics_on_a_port_that_is_taken(self):
        metrics = "  metrics: 127.0.0.1:9464\n"
        self.start(line(1, sas_of(1)), system=metrics)
        values, _ = self.daemon.scrape()
        self.assertEqual(values["sealwire_line_up"]['line="gw1"'], 1)
        code, said = self.refused(self.file_of("o", config(line(1, sas_of(1)), system=metrics)))
        self.assertEqual(code, 1)
        self.assertIn("SW-CTL-031: system.metrics: cannot listen on 127.0.0.1:9464", said)
        # A new start of the daemon is needed for another one.
        self.write(line(1, sas_of(1)), system="")
        result = self.daemon.cli("reload", check=False)
        self.assertEqual(result.returncode, 4)
        self.assertIn("metrics", result.stderr)

    def test_an_af_packet_port_gives_its_interface_the_mtu(self):
        self.lab.wire(self.namespace, "in1", self.lab.namespace("far"), "far")
        for mtu in (1500, 1800, 1901, 9000, 9600):
            with self.subTest(mtu):
                text = config(line(1, sas_of(1)))
                text = text.replace("device: net_null_in1", f"mtu: {mtu}, device: 'net_af_packet0,iface=in1'")
                daemon = self.lab.daemon(self.namespace, f"d{mtu}", text.replace("/d.", f"/d{mtu}."))
                self.assertIn(f" mtu {mtu} ", labs.run("ip", "-n", self.namespace, "link", "show", "in1").stdout)
                self.assertEqual(daemon.stop(), 0)

    def test_sixteen_lines_need_no_setting_for_memory(self):
        lines = [line(number, {}, action="discard") for number in range(1, 17)]
        self.assertEqual(len(self.start(*lines).show("lines")["lines"]), 16)


if __name__ == "__main__":
    unittest.main()
