#!/usr/bin/python3
"""Two gateways, ESP inside MACsec, from the example configuration: traffic, and changes while it flows."""

import hashlib
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

NEW_KEY = "5d1b9c0a7f3e2d4c6b8a90717263544536271809fadbcceddeefc0d1e2f3a4b5c6d7e8f9"
EXAMPLES = labs.ROOT / "config" / "examples"


class Sites(labs.Lab):
    def __init__(self):
        super().__init__("gt")
        self.hosts, self.boxes, self.daemons = {}, {}, {}
        for number, site in enumerate("ab", 1):
            self.hosts[site] = self.namespace(f"host-{site}")
            self.boxes[site] = self.namespace(f"box-{site}")
            self.wire(self.hosts[site], "eth0", self.boxes[site], f"sw-{site}-lan")
            self.enter(self.hosts[site], "ip", "addr", "add", f"10.{number}.0.2/24", "dev", "eth0")
            self.enter(self.hosts[site], "ip", "route", "add", "default", "via", f"10.{number}.0.1")
        self.wire(self.boxes["a"], "sw-a-wan", self.boxes["b"], "sw-b-wan")
        for site in "ab":
            text = (EXAMPLES / f"site-{site}.yaml").read_text()
            text = text.replace(f"/run/sealwire/site-{site}.sock", f"{{folder}}/{site}.sock")
            text = text.replace(f"/var/lib/sealwire/site-{site}", f"{{folder}}/{site}.state")
            text = text.replace("\nsystem:\n", "\nsystem:\n  metrics: 127.0.0.1:9464\n")
            self.daemons[site] = self.daemon(self.boxes[site], site, text)

    def ping(self, *words, count=5, check=True):
        return self.enter(self.hosts["a"], "ping", "-c", count, "-i", "0.05", "-W", "2", *words, "10.2.0.2",
                          check=check)

    def flood(self):
        return subprocess.Popen(
            ["ip", "netns", "exec", self.hosts["a"], "ping", "-q", "-i", "0.002", "-c", "1200", "-W", "2",
             "10.2.0.2"], stdout=subprocess.PIPE, text=True)

    def items(self, text):
        file = self.folder / "items.yaml"
        file.write_text(text)
        return file

    def drops(self, site):
        return {d["reason"]: d["packets"] for d in self.daemons[site].show("drops")["drops"]}


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Sites()
        try:
            cls.lab.ping(count=3, check=False)  # neighbours are resolved
        except BaseException:
            cls.lab.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def test_01_ping(self):
        self.lab.ping(count=20)

    def test_02_tcp_at_the_real_mtu(self):
        script = """
import hashlib, socket, sys
server = socket.create_server(("10.2.0.2", 5000))
print("ready", flush=True)
peer, _ = server.accept()
digest = hashlib.sha256()
while data := peer.recv(65536):
    digest.update(data)
print(digest.hexdigest(), flush=True)
"""
        server = subprocess.Popen(
            ["ip", "netns", "exec", self.lab.hosts["b"], "/usr/bin/python3", "-c", script],
            stdout=subprocess.PIPE, text=True)
        self.lab.processes.append(server)
        self.assertEqual(server.stdout.readline().strip(), "ready")
        octets = 4 << 20
        client = f"""
import socket
out = socket.create_connection(("10.2.0.2", 5000), timeout=20)
out.sendall(bytes(range(256)) * ({octets} // 256))
out.close()
"""
        self.lab.enter(self.lab.hosts["a"], "/usr/bin/python3", "-c", client, timeout=40)
        expected = hashlib.sha256(bytes(range(256)) * (octets // 256)).hexdigest()
        self.assertEqual(server.communicate(timeout=20)[0].strip(), expected)

    def test_03_rekey_over_the_api_under_a_flood_loses_nothing(self):
        lab = self.lab
        flood = lab.flood()
        time.sleep(0.4)
        common = f"spi: 0x2001, algorithm: aes-gcm-256, esn: true, key: '{NEW_KEY}'"
        addresses = "source: 192.0.2.1, destination: 192.0.2.2"
        items = lab.items(f"a-to-b: {{direction: in, {common}, {addresses}, replay-window: 1024}}\n")
        lab.daemons["b"].cli("sa", "replace", "site-b", items)
        states = {(s["spi"], s["state"]) for s in lab.daemons["b"].show("sa")["sas"]}
        self.assertIn(("0x00001001", "retiring"), states)
        items = lab.items(f"a-to-b: {{direction: out, {common}, {addresses}}}\n")
        lab.daemons["a"].cli("sa", "replace", "site-a", items)
        out, _ = flood.communicate(timeout=60)
        self.assertRegex(out, r"\b0% packet loss")
        new = [s for s in lab.daemons["b"].show("sa")["sas"] if s["spi"] == "0x00002001"]
        self.assertGreater(new[0]["packets"], 100)
        for site in "ab":
            shown = lab.daemons[site].cli("show", "sa", "--json").stdout + lab.daemons[site].output()
            self.assertNotIn(NEW_KEY[:16], shown)
            self.assertNotIn("12190c39", shown)

    def test_04_policies_change_while_running(self):
        lab = self.lab
        lab.daemons["a"].cli("policy", "set", "site-a",
                             lab.items("nothing: {action: discard, source: [0.0.0.0/0]}\n"))
        self.assertNotEqual(lab.ping(check=False).returncode, 0)
        self.assertGreater(lab.drops("a").get("PolicyDiscard", 0), 0)
        # Reload brings back what the file says, the first keys included.
        done = lab.daemons["a"].cli("reload").stdout
        self.assertIn("policies", done)
        self.assertIn("a-to-b", done)
        lab.daemons["b"].cli("reload")
        lab.ping(count=10)

    def test_05_without_an_sa_nothing_leaves(self):
        lab = self.lab
        lab.daemons["a"].cli("sa", "remove", "site-a", "a-to-b")
        self.assertNotEqual(lab.ping(check=False).returncode, 0)
        self.assertGreater(lab.drops("a").get("EspNoSa", 0), 0)
        lab.daemons["a"].cli("reload")
        lab.ping()

    def test_06_refusals(self):
        daemon = self.lab.daemons["a"]
        for words, code, text in (
                (("sa", "remove", "site-a", "nobody"), 4, "nobody"),
                (("sa", "remove", "site-x", "a-to-b"), 4, "site-a"),
                (("sa", "add", "site-a", self.lab.items("a-to-b: {direction: out, spi: 5}\n")), 2, "spi"),
                (("sa", "add", "site-a", "/nonexistent"), 1, "cannot be read"),
                (("sa", "frob"), 2, "")):
            result = daemon.cli(*words, check=False)
            self.assertEqual(result.returncode, code, (words, result.stderr))
            self.assertIn(text, result.stderr)

    def test_07_the_telemetry_socket_serves_the_same(self):
        daemon = self.lab.daemons["a"]
        prefix = "sealwire-" + hashlib.sha256(str(daemon.socket).encode()).hexdigest()[:8]
        path = f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2"
        time.sleep(1.2)  # the figures are a second old at most

        def ask(command):
            return labs.telemetry(path, command)

        self.assertEqual(ask("/sealwire/lines"), ["site-a"])
        self.assertIn("site-a/a-to-b", ask("/sealwire/sas"))
        line = daemon.show("lines")["lines"][0]
        told = ask("/sealwire/lines,site-a")
        self.assertEqual(told["egress/tx_packets"], line["egress"]["tx_packets"])
        self.assertEqual(told["state"], "up")
        self.assertIn("site_a/egress/EspNoSa", ask("/sealwire/drops"))
        self.assertEqual(ask("/sealwire/sas,site-a/a-to-b")["algorithm"], "aes-gcm-256")
        self.assertIn("site-a/wan", ask("/sealwire/secys"))
        self.assertIsNone(ask("/sealwire/lines,nobody"))
        self.assertIn("site-a/wan/192.0.2.2", ask("/sealwire/neighbours"))
        self.assertEqual(ask("/sealwire/neighbours,site-a/wan/192.0.2.2")["state"], "reachable")
        self.assertGreater(ask("/sealwire/gateways,site-a")["counters/resolved"], 0)

    def test_07_prometheus_gets_the_same(self):
        lab, daemon = self.lab, self.lab.daemons["a"]
        lab.ping(count=3)
        time.sleep(1.2)  # the figures are a second old at most
        values, kinds = daemon.scrape()

        def value(name, **labels):
            return values["sealwire_" + name][",".join(f'{key}="{text}"' for key, text in labels.items())]

        line = daemon.show("lines")["lines"][0]
        self.assertEqual(value("line_up", line="site-a"), 1)
        for direction in ("egress", "ingress"):
            for key, name in (("tx_packets", "line_tx_packets_total"), ("rx_octets", "line_rx_bytes_total")):
                self.assertEqual(value(name, line="site-a", direction=direction), line[direction][key])
                self.assertGreater(line[direction][key], 0)
        sa = next(sa for sa in daemon.show("sa")["sas"] if sa["name"] == "a-to-b")
        labels = {"line": "site-a", "sa": "a-to-b", "direction": "out", "spi": sa["spi"]}
        self.assertEqual(value("esp_sa_packets_total", **labels), sa["packets"])
        self.assertEqual(value("esp_sa_next_sequence_number", **labels), sa["next_sn"])
        secy = daemon.show("secy")["secys"][0]
        self.assertEqual(value("macsec_out_pkts_encrypted_total", line="site-a", port="wan"),
                         secy["transmit"]["counters"]["OutPktsEncrypted"])
        channel = secy["receive"]["scs"][0]
        self.assertEqual(value("macsec_sc_in_pkts_ok_total", line="site-a", port="wan", sci=channel["sci"]),
                         channel["counters"]["InPktsOK"])
        drops = {drop["reason"]: drop for drop in daemon.show("drops")["drops"] if drop["direction"] == "egress"}
        self.assertEqual(value("drops_total", line="site-a", direction="egress", reason="PolicyDiscard", kind="lost"),
                         drops["PolicyDiscard"]["packets"])
        known = [n for n in daemon.show("neighbours")["neighbours"] if (n["port"], n["state"]) == ("wan", "reachable")]
        self.assertEqual(value("neighbours", line="site-a", port="wan", state="reachable"), len(known))
        self.assertGreater(len(known), 0)
        self.assertEqual(value("gateway_resolved_total", line="site-a"),
                         daemon.show("gateway")["gateways"][0]["counters"]["resolved"])
        self.assertEqual(value("core_running", core="worker-0"), 1)
        self.assertEqual(value("port_up", port="wan", line="site-a", side="outside"), 1)
        # Every name is in the reference, and what the reference has is there; MKA is in another test.
        expected = {name: kind for name, kind in labs.documented_metrics().items() if "_mka_" not in name}
        ours = {name: kind for name, kind in kinds.items() if name.startswith("sealwire_")}
        self.assertEqual(ours, expected)
        # Nothing but that is served.
        for path in ("/", "/etc/passwd", "/../../../etc/passwd"):
            with self.assertRaisesRegex(RuntimeError, "404"):
                daemon.scrape(path)

    def test_08_top_ends_by_itself(self):
        out = self.lab.daemons["a"].cli("top", "--count", "2", "--interval", "0.2").stdout
        self.assertEqual(out.count("THREAD"), 2)

    def test_08_neighbours_and_what_the_gateway_did_by_itself(self):
        lab, daemon = self.lab, self.lab.daemons["a"]
        lab.enter(lab.hosts["a"], "ping", "-c", 1, "-W", 2, "10.1.0.1")
        neighbours = {(n["port"], n["address"]): n for n in daemon.show("neighbours")["neighbours"]}
        host = neighbours["lan", "10.1.0.2"]
        link = json.loads(lab.enter(lab.hosts["a"], "ip", "-json", "link", "show", "eth0").stdout)
        self.assertEqual(host["mac"], link[0]["address"])
        self.assertIn(host["state"], ("reachable", "probe"))
        self.assertEqual(host["side"], "inside")
        ports = {port["name"]: port for port in lab.daemons["b"].show("ports")["ports"]}
        self.assertEqual(neighbours["wan", "192.0.2.2"]["mac"], ports["wan"]["mac"])
        counters = daemon.show("gateway")["gateways"][0]["counters"]
        self.assertGreaterEqual(counters["echo_replies"], 1)
        self.assertGreaterEqual(counters["arp_replies"], 1)
        self.assertRegex(daemon.cli("show", "neighbours").stdout, r"wan +192\.0\.2\.2 +[0-9a-f:]{17} +reachable")
        self.assertIn("echo_replies", daemon.cli("show", "gateway").stdout)

    def test_08_a_host_that_does_not_answer_is_asked_three_times(self):
        daemon = self.lab.daemons["b"]

        def state():
            return {n["address"]: n["state"] for n in daemon.show("neighbours")["neighbours"]}.get("10.2.0.77")

        before = daemon.show("gateway")["gateways"][0]["counters"]
        self.lab.enter(self.lab.hosts["a"], "ping", "-c", 1, "-W", 1, "10.2.0.77", check=False)
        labs.wait_until(lambda: state() == "failed", 10, "10.2.0.77 is given up")
        counters = daemon.show("gateway")["gateways"][0]["counters"]
        self.assertGreaterEqual(counters["arp_requests"] - before["arp_requests"], 3)
        self.assertEqual(counters["held_dropped"] - before["held_dropped"], 1)

    def test_09_udp_encapsulation_on_a_port_that_the_sas_name(self):
        lab = self.lab
        key = bytes(range(1, 37)).hex()
        ports = {1: 4610, 2: 4620}  # of site a and site b
        for number, site in enumerate("ab", 1):
            ends = {"out": (number, 3 - number), "in": (3 - number, number)}
            items = ""
            for direction, (near, far) in ends.items():
                name = "a-to-b" if near == 1 else "b-to-a"
                more = ", replay-window: 64" if direction == "in" else ""
                items += (f"{name}: {{direction: {direction}, spi: {0x3000 + near:#x}, algorithm: aes-gcm-256, "
                          f"key: '{key[:-2]}{near:02x}', source: 192.0.2.{near}, destination: 192.0.2.{far}, "
                          f"udp-encapsulation: {{source-port: {ports[near]}, destination-port: {ports[far]}}}{more}}}\n")
            lab.daemons[site].cli("sa", "replace", f"site-{site}", lab.items(items))
        lab.ping(count=10)
        packets = {sa["name"]: sa["packets"] for sa in lab.daemons["a"].show("sa")["sas"] if sa["spi"] > "0x00003000"}
        self.assertGreaterEqual(packets["b-to-a"], 10)
        for site in "ab":
            lab.daemons[site].cli("reload")
        lab.ping(count=10)


if __name__ == "__main__":
    unittest.main()
