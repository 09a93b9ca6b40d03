#!/usr/bin/python3
"""The checks of ./dev lint catch what they are for: each is given a tree that breaks one rule."""

import pathlib
import subprocess
import tempfile
import unittest

import arrows
import same_build
import tree

TOP = pathlib.Path(__file__).resolve().parents[2]


class Arrows(unittest.TestCase):
    def violations_of(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return arrows.violations(folder)

    def test_this_tree_obeys(self):
        self.assertEqual(arrows.violations(TOP), [])

    def test_allowed_includes_pass(self):
        self.assertEqual([], self.violations_of({
            "config/model.h": '#include "crypto/algorithm.h"\n#include "crypto/secret_bytes.h"\n#include "crypto/result.h"\n',
            "crypto/algorithm.h": "#include <cstdint>\n",
            "pipelines/burst.h": '#include "crypto/aead.h"\n#include <rte_mbuf.h>\n',
            "app/control/apply.cpp": '#include "config/model.h"\n#include "pipelines/line.h"\n',
            "app/cli/main.cpp": '#include "config/model.h"\n#include "app/control/api_client.h"\n',
        }))

    def test_each_forbidden_include_is_caught(self):
        for name, header in (
            ("pipelines/line.cpp", '"config/model.h"'),
            ("pipelines/line.cpp", '"app/daemon/eal.h"'),
            ("pipelines/line.cpp", "<yaml-cpp/yaml.h>"),
            ("pipelines/line.cpp", '"tests/unit/fake.h"'),
            ("crypto/aead.cpp", '"pipelines/burst.h"'),
            ("crypto/aead.cpp", '"config/model.h"'),
            ("crypto/aead.cpp", '"app/control/api.h"'),
            ("config/load.cpp", '"crypto/aead.h"'),
            ("config/load.cpp", '"pipelines/line.h"'),
            ("config/load.cpp", "<rte_ethdev.h>"),
            ("app/cli/main.cpp", "<rte_eal.h>"),
            ("app/cli/main.cpp", '"pipelines/line.h"'),
            ("app/cli/main.cpp", '"app/daemon/eal.h"'),
            ("app/cli/main.cpp", '"../control/api_client.h"'),
            ("app/daemon/main.cpp", '"perf/bench.h"'),
        ):
            with self.subTest(file=name, header=header):
                self.assertEqual(1, len(self.violations_of({name: f"#pragma once\n  # include {header}\n"})))

    def test_dpdk_reached_through_an_allowed_header_is_caught(self):
        found = self.violations_of({
            "config/model.h": '#include "crypto/secret_bytes.h"\n',
            "crypto/secret_bytes.h": '#include "crypto/memory.h"\n',
            "crypto/memory.h": "#include <rte_malloc.h>\n",
            "app/cli/main.cpp": '#include "config/model.h"\n',
        })
        self.assertEqual(2, len(found))
        self.assertTrue(all("rte_malloc.h" in line and "crypto/memory.h:1" in line for line in found))


class Tree(unittest.TestCase):
    BUDGETS = "build 1\nunit 1\n"

    def problems_of(self, files, executable=()):
        files = {"sources.txt": "", "tests/budgets.txt": self.BUDGETS, **files}
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["git", "init", "-q", folder], check=True)
            for name, text in files.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                path.chmod(0o755 if name in executable else 0o644)
            return list(tree.problems(folder))

    def test_a_tidy_tree_passes(self):
        self.assertEqual([], self.problems_of({
            "sources.txt": "[lib crypto]\ndeps: x\ncrypto/aead.cpp  # comment\n", "crypto/aead.cpp": "",
            "docs/a.md": "[b](b.md) [web](https://example.org)", "docs/b.md": "tests/netns/lab", "tests/netns/lab": "#!/bin/bash\n", "config/x.yaml": "a: 1\n",
            "tests/config/bad/x.yaml": "a: [\n"}, executable=("tests/netns/lab",)))

    def test_each_broken_promise_is_caught(self):
        for files, executable, expected in (
            ({"crypto/aead.cpp": ""}, (), "crypto/aead.cpp: not in sources.txt"),
            ({"tests/scapy/esp_test.py": "#!/usr/bin/python3\n"}, ("tests/scapy/esp_test.py",), "not in sources.txt"),
            ({"sources.txt": "[lib crypto]\ncrypto/gone.cpp\n"}, (), "crypto/gone.cpp does not exist"),
            ({"config/x.yaml": "a: [\n"}, (), "config/x.yaml: "),
            ({"config/x.json": "{,}"}, (), "config/x.json: "),
            ({"perf/x.py": "def\n"}, (), "perf/x.py: "),
            ({"perf/x.py": "#!/usr/bin/env python3\n"}, ("perf/x.py",), "not #!/usr/bin/python3"),
            ({"perf/x.sh": "#!/bin/bash\n"}, (), "not executable"),
            ({"docs/a.md": "TO" + "DO: write this"}, (), "docs/a.md:1: unfinished"),
            ({"docs/a.md": "see [b](b.md#part)"}, (), "the link b.md leads nowhere"),
            ({"sources.txt": "[test chaos x]\n"}, (), "no budget for the label chaos"),
            ({"docs/guides/mka.md": "`KayNiap.Gone`"}, (), "KayNiap.Gone is not the name of a test"),
            ({"docs/guides/mka.md": "", "sources.txt": "[test unit x]\ntests/x.cpp\n",
              "tests/x.cpp": "TEST(KayNiap, New) {", "tests/budgets.txt": "unit 1\n"}, (),
             "KayNiap.New is not in the table"),
            ({"tests/budgets.txt": "build 44.5\nunit 0.5\n"}, (), "45 minutes in all"),
        ):
            with self.subTest(expected=expected):
                found = self.problems_of(files, executable)
                self.assertEqual(1, len(found), found)
                self.assertIn(expected, found[0])


class SameBuild(unittest.TestCase):
    def test_targets_are_recognised_in_both_builds(self):
        self.assertEqual("sealwire_crypto", same_build.target_of("CMakeFiles/sealwire_crypto.dir/crypto/aead.cpp.o"))
        self.assertEqual("sealwire_crypto", same_build.target_of("libsealwire_crypto.a.p/crypto_aead.cpp.o"))
        self.assertEqual("sealwire_crypto", same_build.target_of("libsealwire_crypto@0.a.p/crypto_kernel.cpp.o"))
        self.assertEqual("sealwired", same_build.target_of("sealwired.p/app_daemon_main.cpp.o"))

    def test_where_it_is_written_does_not_count(self):
        self.assertEqual(["-Wall", "-isystem /usr/include/dpdk", "-O2"], same_build.compile_flags(
            "-I. -Wall -isystem /usr/include/dpdk -MD -MF a.d -MQ a.o -O2 -o a.o -c".split()))

    def test_tests_are_compared_without_the_tsan_label(self):
        facts = same_build.test_facts(["unit", "tsan"], 60.0, True, ["/build/x_test", "--quick"])
        self.assertEqual({"label unit", "timeout 60", "serial", "x_test", "--quick"}, facts)

    def test_each_difference_is_reported(self):
        same = {("a", "a.cpp"): {"-Wall", "-O2"}}
        self.assertEqual([], list(same_build.differences("compile", same, dict(same))))
        for other in ({}, {("a", "a.cpp"): {"-O2"}}, {("a", "a.cpp"): {"-O3", "-Wall"}},
                      {**same, ("b", "b.cpp"): set()}):
            with self.subTest(other=other):
                self.assertEqual(1, len(list(same_build.differences("compile", same, other))))
                self.assertEqual(1, len(list(same_build.differences("compile", other, same))))


if __name__ == "__main__":
    unittest.main()
