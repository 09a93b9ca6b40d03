#!/usr/bin/python3
"""perf/report: which plots a file gives, what they show, and that the page needs nothing but itself."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

REPORT = pathlib.Path(__file__).resolve().parents[3] / "perf" / "report"
SVG = "{http://www.w3.org/2000/svg}"


def row(**fields):
    return {"workload": "pipeline [esp]", "algorithm": "aes-gcm-128", "size": 64, "direction": "egress", "cores": 1,
            "sas": 1, "cycles_per_packet": 170.5, "spread": 0.02, "io_floor": 21.0, "crypto": 52.0, "overhead": 97.5,
            "mpps": 11.5, "gbps": 5.9, **fields}


def report_of(*rows, commit="abc"):
    """The exit code, the page as a tree, and its text."""
    data = {"machine": {"cpu": "one", "cpu_features": ["aes"]}, "commit": commit, "engine": "auto", "rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        file, page = (pathlib.Path(folder) / name for name in ("rows.json", "page.html"))
        file.write_text(json.dumps(data), encoding="utf-8")
        subprocess.run([REPORT, file, "-o", page], check=True)
        text = page.read_text(encoding="utf-8")
    # The page is XML too, so a tag left open is an error here.
    return xml.etree.ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n")), text


def plots(tree):
    """Heading -> what each of its plots says, as one text with all numbers and names."""
    found, heading = {}, None
    for element in tree.find("body"):
        if element.tag == "h2":
            heading = element.text
        for plot in element.findall(SVG + "svg"):
            words = " ".join(" ".join(text.itertext()) for text in plot.iter() if text.tag in (SVG + "text", SVG + "title"))
            found.setdefault(heading, []).append(re.sub(r"\s+", " ", words))
    return found


class Report(unittest.TestCase):
    def test_one_run(self):
        tree, text = report_of(
            row(), row(size=1420, gbps=60.25), row(size="IMIX"), row(workload="pipeline []", algorithm="none", sas=0),
            row(direction="ingress", overhead=-7.4), row(algorithm="aes-gcm-256", gbps=2.75),
            row(algorithm="chacha20-poly1305", gbps=3.25), row(algorithm="chacha20-poly1305", size=1420),
            row(sas=4096, crypto=777.0),
            row(workload="pipeline [esp] in turn", cores=2, ratio=1.83, predicted={"4": 3.5, "8": 6.25}),
            {"workload": "install SA", "direction": "egress", "cores": 1, "cycles_per_sa": 41234.5, "spread": 0.1},
            *(row(load=load, p50_us=load, p99_us=3 * load, p999_us=9.5) for load in (0.1, 0.5)), commit="<script>x&y")
        found = plots(tree)
        self.assertEqual({"Throughput by size": 2, "Where the cycles go": 3, "Scaling over cores": 1, "Latency": 1},
                         {heading: len(texts) for heading, texts in found.items()})

        gbps, mpps = found["Throughput by size"]
        self.assertIn("Gbit/s by frame size", gbps)
        self.assertIn("64 1420 IMIX", gbps)
        self.assertIn("60.25", gbps)
        self.assertIn("11.5", mpps)
        self.assertIn("3.25", gbps)
        self.assertNotIn("2.75", gbps)  # one size
        self.assertNotIn("[]", gbps)

        small, large, mix = found["Where the cycles go"]
        for size, plot in (("64 octets", small), ("1420 octets", large), ("IMIX", mix)):
            self.assertIn(f"cycles per packet, {size}", plot)
        for part in ("21", "52", "98", "-7", "I/O floor", "crypto", "overhead", "[] egress", "[esp] ingress",
                     "[esp] egress chacha20-poly1305"):
            self.assertIn(part, small)
        self.assertNotIn("777", small)  # of 4096 SAs

        (cores,) = found["Scaling over cores"]
        for part in ("1.83", "6.25", "[esp] in turn egress, predicted"):
            self.assertIn(part, cores)
        self.assertTrue("#chart-scaling-0 .series.serie-1{stroke-dasharray" in text)

        (latency,) = found["Latency"]
        for part in ("p50", "p99.9", "9.5", "1.5", "pipeline [esp] egress 64 octets"):
            self.assertIn(part, latency)

        self.assertEqual(14, len(tree.findall("body/table[@class='rows']/tr")))
        self.assertTrue("<td>41234.50</td>" in text)
        self.assertTrue("<td>&lt;script&gt;x&amp;y</td>" in text)

    def test_crypto_has_a_plot_for_each_algorithm_and_direction(self):
        fields = {"algorithm": "aes-gcm-128", "cores": 1, "sas": 1, "cycles_per_packet": 170.5, "spread": 0.1, "gbps": 9}
        tree, _ = report_of(*({**fields, "workload": f"crypto {engine}", "size": size, "direction": direction}
                              for engine in ("a", "b") for size in (64, 1424) for direction in ("seal", "open")))
        self.assertEqual({"Crypto by engine"}, set(plots(tree)))
        first, second = plots(tree)["Crypto by engine"]
        for part in ("aes-gcm-128, seal", "64 1424", "170.5"):
            self.assertIn(part, first)
        self.assertIn("aes-gcm-128, open", second)

    def test_crypto_of_one_size_is_a_bar_for_each_engine(self):
        fields = {"algorithm": "aes-gcm-256", "size": 1424, "direction": "seal", "cores": 1, "sas": 1, "spread": 0.1, "gbps": 9}
        tree, _ = report_of(*({**fields, "workload": f"crypto {engine}", "cycles_per_packet": cycles}
                              for engine, cycles in (("fast", 417.0), ("slow", 1373.0))))
        (plot,) = plots(tree)["Crypto by engine"]
        for part in ("aes-gcm-256, seal, 1424 octets", "fast", "slow", "417", "1373"):
            self.assertIn(part, plot)

    def test_long_names_have_room_in_the_legend(self):
        def columns(name):
            _, text = report_of(*(row(workload=f"pipeline {name}{i}", size=size) for i in range(6) for size in (64, 1420)))
            (plot,) = re.findall(r'<svg[^>]*id="chart-throughput-0".*?</svg>', text, re.S)
            return len(set(re.findall(r'<rect x="([0-9.]+)"[^>]*class="color-', plot)))

        self.assertEqual((3, 2, 1), tuple(columns("x" * length) for length in (10, 40, 90)))

    def test_the_page_needs_nothing_from_elsewhere(self):
        tree, text = report_of(row(), row(size=1420))
        self.assertFalse("<script" in text)
        self.assertEqual({"http://www.w3.org/2000/svg"}, set(re.findall(r"https?://[^\"' <)]*", text)))
        self.assertEqual([], [e.tag for e in tree.iter() if {"src", "href", "onload"} & {k.split("}")[-1] for k in e.keys()}])
        self.assertEqual([], re.findall(r"url\(|@import", text))

    def test_what_was_not_measured_gets_no_plot(self):
        self.assertEqual({}, plots(report_of()[0]))
        self.assertEqual({"Scaling over cores"}, set(plots(report_of(row(cores=2, ratio=1.8))[0])))
        self.assertEqual({"Where the cycles go"}, set(plots(report_of(row(algorithm="none"))[0])))

    def test_the_same_file_gives_the_same_page(self):
        self.assertTrue(report_of(row())[1] == report_of(row())[1])

    def test_what_cannot_be_read_is_named(self):
        done = subprocess.run([REPORT, "/nowhere/rows.json"], capture_output=True, text=True, check=False)
        self.assertEqual((2, ""), (done.returncode, done.stdout))
        self.assertIn("/nowhere/rows.json", done.stderr)


if __name__ == "__main__":
    unittest.main()
