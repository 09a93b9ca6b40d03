#!/usr/bin/python3
"""MKA between two running daemons on veth pairs: sessions, rekeys and key rotation under traffic whose every frame is
counted.

    mka_test.py                 all of it
    mka_test.py soak SECONDS    rekeys by time only, for that long
"""

import datetime
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import lab as labs  # noqa: E402
from wire_test import TwoSites  # noqa: E402

SEQUENCE = Path(__file__).resolve().parent / "sequence.py"
SECONDS = 30
CAKS = {
    "one": ("c001", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
    "two": ("c002", "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"),
    "three": ("c003", "8a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9"),
    "fallback": ("fa11bac4", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
}
SHORT_TIMERS = "timers: {hello: 100ms, bounded-hello: 50ms, life: 2s, retire: 150ms}"


def at(seconds):
    """RFC 3339, that many seconds from now."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def mka_config(site, keys=("one",), extra="", suites="[gcm-aes-xpn-256, gcm-aes-128]", timers=SHORT_TIMERS,
               spans=None, cleartext="", macsec="", caks=None, metrics=False):
    spans, caks = spans or {}, caks or CAKS
    chain = ""
    for key in keys:
        ckn, cak = caks[key]
        chain += f"          {key}: {{ckn: \"{ckn}\", cak: \"{cak}\"{spans.get(key, '')}}}\n"
    return f"""
sealwire: 1
lab: true
system:
  workers: 1
{"  metrics: 127.0.0.1:9464" if metrics else ""}
  api-socket: {{folder}}/{site}.sock
  state-directory: {{folder}}/{site}.state
ports:
  in: {{device: "net_af_packet0,iface=sw-in", mtu: 1500}}
  out: {{device: "net_af_packet1,iface=sw-out", mtu: 1532}}
lines:
  wire:
    stages: [macsec]
    inside: [in]
    outside: [out]
    {cleartext}
    macsec:
      replay-window: 64
      {macsec}
      mka:
        priority: {16 if site == "a" else 32}
        suites: {suites}
        {timers}
        {extra}
        keys:
{chain}"""


class Traffic:
    """Frames in both directions, each with its number, while something happens."""

    def __init__(self, lab, seconds, rate=500):
        self.lab, self.seconds, self.rate = lab, seconds, rate

    def __enter__(self):
        self.ends = []
        for site in "ab":
            receiver = subprocess.Popen(
                ["ip", "netns", "exec", self.lab.hosts[site], str(SEQUENCE), "receive", "7000"],
                stdout=subprocess.PIPE, text=True)
            assert receiver.stdout.readline().strip() == "ready"
            self.ends.append(receiver)
        self.senders = [
            subprocess.Popen(["ip", "netns", "exec", self.lab.hosts[site], str(SEQUENCE), "send", address, "7000",
                              str(self.rate), str(int(self.rate * self.seconds))])
            for site, address in (("a", "10.9.0.2"), ("b", "10.9.0.1"))]
        return self

    def __exit__(self, *_):
        for process in self.senders + self.ends:
            if process.poll() is None:
                process.kill()
            process.wait()

    def results(self):
        for sender in self.senders:
            sender.wait(self.seconds * 3 + 30)
        time.sleep(0.5)
        out = []
        for receiver in self.ends:
            receiver.terminate()
            out.append(json.loads(receiver.communicate(timeout=20)[0]))
        return out


class Mka(unittest.TestCase):
    """One pair of daemons; each test leaves the session up."""

    @classmethod
    def setUpClass(cls):
        cls.lab = TwoSites()
        try:
            cls.lab.daemons = {site: cls.lab.daemon(cls.lab.boxes[site], site, mka_config(site, metrics=True))
                               for site in "ab"}
        except BaseException:
            cls.lab.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def kay(self, site):
        return self.lab.daemons[site].show("mka")["kays"][0]

    def transmitting(self, site):
        return next((sak for sak in self.kay(site)["saks"] if sak["transmitting"]), None)

    def up(self, timeout=10, ckn=None):
        def same():
            saks = [self.transmitting(site) for site in "ab"]
            return all(saks) and saks[0]["kn"] == saks[1]["kn"] and \
                saks[0]["key_server_mi"] == saks[1]["key_server_mi"] and (ckn is None or saks[0]["ckn"] == ckn) and \
                all(self.kay(site)["controlled_port"] == "secured" for site in "ab")
        labs.wait_until(same, timeout, f"session under {ckn or 'any CKN'}")

    def configure(self, site, **options):
        self.lab.write(site, mka_config(site, metrics=True, **options))
        return self.lab.daemons[site].cli("reload").stdout

    def expect_lossless(self, results):
        for end in results:
            self.assertGreater(end["received"], 100, end)
            self.assertEqual((end["missing"], end["duplicates"]), (0, 0), end)

    def test_01_session_comes_up_and_everything_is_sealed(self):
        self.up(timeout=10)
        frames = self.lab.capture(0.3, lambda: self.lab.ping(count=20))
        types = {frame[12:14].hex() for frame in frames}
        self.assertEqual(types - {"88e5", "888e"}, set(), "cleartext on the wire")
        self.assertGreaterEqual(sum(frame[12:14] == b"\x88\xe5" for frame in frames), 20)

    def test_02_show_mka_says_what_it_should(self):
        a, b = self.kay("a"), self.kay("b")
        for kay in (a, b):
            self.assertEqual(kay["controlled_port"], "secured")
            self.assertEqual(kay["ckn_in_use"], "c001")
            peer = kay["participants"][0]["peers"][0]
            self.assertEqual(peer["state"], "live")
            self.assertLess(peer["last_seen_seconds"], 2)
            self.assertTrue(peer["mi"] and peer["mn"] > 0 and peer["sci"])
            sak = kay["saks"][0]
            self.assertEqual(sak["suite"], "gcm-aes-xpn-256")
            self.assertGreater(sak["next_pn"], 1)
            self.assertGreater(sak["pn_left_to_rekey"], 2**62)
        self.assertTrue(a["participants"][0]["elected_self"])
        self.assertEqual(b["participants"][0]["key_server"], a["sci"])
        self.assertEqual(a["participants"][0]["peers"][0]["sci"], b["sci"])
        text = self.lab.daemons["a"].cli("show", "mka").stdout
        for word in (a["sci"], b["sci"], "c001", "gcm-aes-xpn-256", "live peer"):
            self.assertIn(word, text)
        self.assertIn("one", self.lab.daemons["a"].cli("keys", "list").stdout)

    def test_02_prometheus_gets_the_same(self):
        time.sleep(1.2)  # the figures are a second old at most
        values, kinds = self.lab.daemons["a"].scrape()
        place = 'line="wire",port="out"'
        self.assertEqual(values["sealwire_mka_secured"][place], 1)
        self.assertEqual(values["sealwire_mka_live_peers"][place], 1)
        self.assertEqual(values["sealwire_mka_saks_installed_total"][place], self.kay("a")["counters"]["saks_installed"])
        documented = {name: kind for name, kind in labs.documented_metrics().items() if "_mka_" in name}
        del documented["sealwire_mka_rejected_total"]  # nothing was rejected yet
        self.assertEqual({name: kind for name, kind in kinds.items() if "_mka_" in name}, documented)

    def test_03_rekey_by_hand(self):
        before = self.transmitting("a")
        out = self.lab.daemons["b"].cli("rekey", "wire", check=False)
        self.assertEqual(out.returncode, 4 if out.returncode == 4 else 1)
        self.assertIn("SW-MKA-007", out.stderr)
        with Traffic(self.lab, 3) as traffic:
            time.sleep(1)
            self.lab.daemons["a"].cli("rekey", "wire")
            labs.wait_until(lambda: self.transmitting("b")["kn"] > before["kn"], 5, "a fresh SAK")
            self.expect_lossless(traffic.results())
        self.up()
        self.assertNotEqual(self.transmitting("a")["an"], before["an"])

    def test_04_cak_rotation_by_reload_under_traffic(self):
        with Traffic(self.lab, 20) as traffic:
            time.sleep(0.5)
            for site in "ab":
                out = self.configure(site, keys=("one", "two"), spans={"two": f", start: {at(-1)}"})
                self.assertIn("keys.two: added", out)
                time.sleep(0.7)
            self.up(ckn="c002")
            for site in "ba":
                self.assertIn("keys.one: retired",
                              self.configure(site, keys=("two",), spans={"two": f", start: {at(-1)}"}))
                time.sleep(0.7)
            self.up(ckn="c002")
            for site in "ab":
                self.lab.daemons[site].cli("keys", "add", "wire", "three", "--ckn", "c003", "--start", at(1),
                                           "--cak-file", self.cak_file("three"))
            self.up(ckn="c003")
            for site in "ab":
                self.assertIn("retired", self.lab.daemons[site].cli("keys", "retire", "wire", "two").stdout)
            time.sleep(3)
            self.up(ckn="c003")
            self.expect_lossless(traffic.results())

    def cak_file(self, name):
        file = self.lab.folder / f"{name}.cak"
        file.write_text(CAKS[name][1] + "\n")
        file.chmod(0o600)
        return file

    def test_05_key_chain_by_its_times_under_traffic(self):
        # The file is the truth again: "three" was added by hand, "two" follows it at its start, "one" is over by then.
        times = [at(s) for s in (-5, 14, 5, 3600)]
        spans = {"three": f", start: {times[0]}, end: {times[1]}", "two": f", start: {times[2]}, end: {times[3]}"}
        with Traffic(self.lab, 20) as traffic:
            for site in "ab":
                self.configure(site, keys=("three", "two"), spans=spans)
            self.up(ckn="c003", timeout=3)
            self.up(ckn="c002", timeout=12)
            # The old CAK ends on time, and by then nothing depends on it.
            labs.wait_until(lambda: len(self.kay("a")["participants"]) == 1, 15, "the first key ends")
            self.expect_lossless(traffic.results())

    def test_06_peer_restarted(self):
        for site in "ba":
            self.assertEqual(self.lab.daemons[site].stop(), 0, self.lab.daemons[site].output())
            self.lab.daemons[site].start()
            self.up(timeout=15)
            self.lab.ping()

    def test_07_killed_and_back(self):
        self.lab.daemons["b"].process.kill()
        self.lab.daemons["b"].process.wait()
        self.lab.daemons["b"].start()
        self.up(timeout=15)
        self.lab.ping()

    def test_08_link_flap(self):
        labs.run("ip", "-n", self.lab.boxes["a"], "link", "set", "sw-out", "down")
        labs.wait_until(lambda: self.kay("a")["controlled_port"] == "blocked", 10, "the port blocks")
        self.assertFalse(self.lab.ping(count=2, check=False).returncode == 0)
        labs.run("ip", "-n", self.lab.boxes["a"], "link", "set", "sw-out", "up")
        self.up(timeout=15)
        # The host's ARP may just be giving up what it asked while the link was down.
        self.lab.wait_for_ping(5)
        self.lab.ping()

    def test_09_niap_no_cak_is_shown_or_logged(self):
        for site, daemon in self.lab.daemons.items():
            self.assertTrue(any(cak in daemon.config.read_text() for _, cak in CAKS.values()), site)
            text = daemon.output()
            for words in (("show", "mka"), ("show", "mka", "--json"), ("keys", "list"), ("keys", "list", "--json")):
                text += daemon.cli(*words).stdout
            for _, cak in CAKS.values():
                self.assertNotIn(cak, text.lower())

    def test_10_the_audit_log_tells_the_story(self):
        text = "".join(daemon.output() for daemon in self.lab.daemons.values())
        for word in ("audit: wire/out: mka session-established", "sak-created", "sak-installed", "ckn-in-use ckn=c002",
                     "peer-lost", "session-lost", "participant-ended"):
            self.assertIn(word, text)

    def test_11_bad_mkpdus_are_refused_and_logged(self):
        # From the wire's other end: garbage that claims to be MKA, to the group and to the port.
        b = self.lab.boxes["b"]
        sender = ("import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW);s.bind(('sw-out',0));"
                  "m=bytes.fromhex('020000000077');"
                  "[s.send(bytes.fromhex(d)+m+bytes.fromhex('888e0305')+(48).to_bytes(2,'big')+bytes(48)) "
                  "for d in ('0180c2000003','021111111111')]")
        before = self.kay("a")["counters"]["rejected"]
        self.lab.enter(b, "/usr/bin/python3", "-c", sender)
        labs.wait_until(lambda: sum(self.kay("a")["counters"]["rejected"].values()) >= sum(before.values()) + 2, 5,
                        "both refused")
        self.assertIn("mkpdu-rejected", self.lab.daemons["a"].output())
        self.up()


class Rekeys(unittest.TestCase):
    """Hundreds of SAKs under traffic, by time and by PN."""

    def run_for(self, extra, seconds, suites="[gcm-aes-128]", rate=500):
        with TwoSites() as lab:
            lab.daemons = {site: lab.daemon(lab.boxes[site], site, mka_config(site, extra=extra, suites=suites))
                           for site in "ab"}
            lab.wait_for_ping()
            with Traffic(lab, seconds, rate) as traffic:
                results = traffic.results()
            kays = []

            def installed_the_same():
                # One is asked before and after the other: a SAK that came in between could hide a difference.
                kays[:] = [lab.daemons[site].show("mka")["kays"][0] for site in "aba"]
                return len({(kay["counters"]["saks_installed"], max(sak["kn"] for sak in kay["saks"]))
                            for kay in kays}) == 1

            labs.wait_until(installed_the_same, 5, "both ends count the same SAKs")
            log = "".join(lab.daemons[site].output() for site in "ab")
            for end in results:
                self.assertEqual((end["missing"], end["duplicates"]), (0, 0), f"{end}\n{log[-4000:]}")
            self.assertEqual([kay["counters"]["peers_lost"] for kay in kays], [0, 0, 0])
            print(f"{kays[0]['counters']['saks_installed']} SAKs in {seconds} s, "
                  f"{sum(end['received'] for end in results)} frames, none lost", file=sys.stderr)
            return kays[0]["counters"]["saks_installed"]

    def test_by_time(self):
        saks = self.run_for("rekey: {interval: 300ms}", SECONDS)
        self.assertGreater(saks, SECONDS * 1.2)

    def test_niap_rekey_by_pn_threshold_under_traffic(self):
        for suites in ("[gcm-aes-256]", "[gcm-aes-xpn-128]"):
            saks = self.run_for("rekey: {pn-threshold: 800}", 10, suites)
            self.assertGreaterEqual(saks, 3)

    def test_niap_100_frames_before_the_pn_threshold(self):
        # Every SAK begins 100 frames before the threshold.
        saks = self.run_for("rekey: {pn-threshold: 100}", 4)
        self.assertGreaterEqual(saks, 4)


class Policies(unittest.TestCase):
    def test_niap_nothing_leaves_in_clear_before_the_first_sak(self):
        with TwoSites() as lab:
            lab.daemons = {"a": lab.daemon(lab.boxes["a"], "a", mka_config("a"))}
            frames = lab.capture(0.3, lambda: lab.ping(count=3, check=False))
            self.assertGreater(len(frames), 0)
            self.assertEqual({frame[12:14].hex() for frame in frames}, {"888e"})
            # What comes first once the peer is there is sealed.
            lab.daemons["b"] = lab.daemon(lab.boxes["b"], "b", mka_config("b"))
            frames = lab.capture(0.3, lab.wait_for_ping)
            self.assertEqual({frame[12:14].hex() for frame in frames}, {"888e", "88e5"})

    def test_should_secure_passes_cleartext_until_the_peer_is_there(self):
        with TwoSites() as lab:
            lab.daemons = {"a": lab.daemon(lab.boxes["a"], "a", mka_config(
                "a", extra="policy: should-secure", cleartext="cleartext: allow"))}
            lab.enter(lab.hosts["a"], "ip", "neigh", "replace", "10.9.0.2", "lladdr", "02:00:00:00:00:99", "dev", "eth0")
            frames = lab.capture(0.3, lambda: lab.ping(count=3, check=False))
            self.assertTrue(any(b"\x0a\x09\x00\x01" in frame for frame in frames))
            lab.daemons["b"] = lab.daemon(lab.boxes["b"], "b", mka_config(
                "b", extra="policy: should-secure", cleartext="cleartext: allow"))
            labs.wait_until(lambda: lab.daemons["a"].show("mka")["kays"][0]["controlled_port"] == "secured", 10, "SAK")
            frames = lab.capture(0.3, lambda: lab.ping(count=3, check=False))
            self.assertFalse(any(b"\x0a\x09\x00\x01" in frame for frame in frames))
            self.assertIn("cleartext", lab.daemons["a"].output())

    def test_eapol_destination_and_ether_type(self):
        with TwoSites() as lab:
            extra = 'eapol: {destination: "ff:ff:ff:ff:ff:ff", ethertype: 0x876f}'
            lab.daemons = {site: lab.daemon(lab.boxes[site], site, mka_config(site, extra=extra)) for site in "ab"}
            lab.wait_for_ping()
            frames = lab.capture(1, lambda: lab.ping(count=3))
            self.assertEqual({frame[12:14].hex() for frame in frames}, {"88e5", "876f"})

    def test_fallback_key_when_the_primaries_differ(self):
        with TwoSites() as lab:
            fallback = f'fallback: {{ckn: "{CAKS["fallback"][0]}", cak: "{CAKS["fallback"][1]}"}}'
            wrong = dict(CAKS, one=(CAKS["one"][0], "ee" * 16))
            lab.daemons = {site: lab.daemon(lab.boxes[site], site, mka_config(site, extra=fallback, caks=caks))
                           for site, caks in (("a", CAKS), ("b", wrong))}
            lab.wait_for_ping()
            self.assertEqual(lab.daemons["a"].show("mka")["kays"][0]["ckn_in_use"], CAKS["fallback"][0])
            self.assertIn("reason=bad-icv", lab.daemons["a"].output())


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        SECONDS = int(sys.argv[2])
        sys.argv[1:] = ["Rekeys.test_by_time"]
    unittest.main()
