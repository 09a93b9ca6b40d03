#!/usr/bin/python3
"""The CMake and the Meson build compile the same files into the same targets with the same flags, and run the same tests.

usage: same_build.py CMAKE_BUILD MESON_BUILD   exits 1 and names each difference. Both need only be configured.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# Where the build tools write, and how they print: no part of what is compiled.
WITH_VALUE = ("-o", "-MF", "-MT", "-MQ")
IGNORED = re.compile(r"-(c|M|MD|MMD|MP|fdiagnostics-color=.*)$")
IGNORED_LINK = re.compile(r"-Wl,(--start-group|--end-group|--allow-shlib-undefined|--no-undefined|--as-needed|-rpath.*)$")


def target_of(output):
    """The target whose object this is, from the object's path in either build."""
    cmake = re.search(r"CMakeFiles/([^/]+)\.dir/", output)
    if cmake:
        return cmake.group(1)
    # Meson: libNAME.a.p/ or NAME.p/; libNAME@N.a.p/ holds one file of NAME that has flags of its own.
    name = output.split("/", 1)[0].removesuffix(".p")
    if name.endswith(".a"):
        name = name.removesuffix(".a").removeprefix("lib")
    return re.sub(r"@\d+$", "", name)


def compile_flags(words):
    flags, words = [], iter(words)
    for word in words:
        if word in WITH_VALUE:
            next(words)
        elif word in ("-isystem", "-include"):
            flags.append(f"{word} {next(words)}")
        elif word.startswith("-") and not word.startswith("-I") and not IGNORED.match(word):
            flags.append(word)
    return flags


def compiled(build):
    """(target, file) -> set of flags, from compile_commands.json."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    result = {}
    for entry in commands:
        words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
        output = entry.get("output") or words[words.index("-o") + 1]
        file = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        result[target_of(os.path.relpath(output, build) if os.path.isabs(output) else output), file] = set(
            compile_flags(words))
    return result


def linked(build):
    """Executable -> set of linker flags, from ninja's commands."""
    output = subprocess.run(["ninja", "-C", str(build), "-t", "commands"], check=True, stdout=subprocess.PIPE).stdout
    result = {}
    for line in output.decode().splitlines():
        if " -pie " not in line or " -c " in line:
            continue
        words = [word for word in shlex.split(line) if word not in ("&&", ":")]
        name = os.path.basename(words[words.index("-o") + 1])
        result[name] = {word for word in words if word.startswith(("-Wl,", "-l", "-pie")) and not IGNORED_LINK.match(word)}
    return result


def cmake_tests(build):
    """Test -> what is said of it, from CTest."""
    output = subprocess.run(["ctest", "--test-dir", str(build), "--show-only=json-v1"], check=True,
                            stdout=subprocess.PIPE).stdout
    result = {}
    for test in json.loads(output)["tests"]:
        properties = {entry["name"]: entry["value"] for entry in test["properties"]}
        result[test["name"]] = test_facts(properties["LABELS"], properties["TIMEOUT"], properties.get("RUN_SERIAL", False),
                                          test.get("command"))
    return result


def meson_tests(build, built):
    """The same from Meson; the command only of the tests in built, since CTest names none for what is not built yet."""
    output = subprocess.run(["meson", "introspect", "--tests", str(build)], check=True, stdout=subprocess.PIPE).stdout
    return {test["name"]: test_facts([suite.split(":")[-1] for suite in test["suite"]], test["timeout"],
                                     not test["is_parallel"], test["cmd"] if test["name"] in built else None)
            for test in json.loads(output)}


def test_facts(labels, timeout, serial, command):
    command = command or [""]
    # Tests labelled tsan run in the tsan build, which only CMake has.
    return ({f"label {label}" for label in labels if label != "tsan"} | {f"timeout {int(timeout)}"} |
            ({"serial"} if serial else set()) | {os.path.basename(command[0])} | set(command[1:]))


def has_command(facts):
    return "" not in facts


def differences(kind, cmake, meson):
    for key in sorted(cmake.keys() | meson.keys()):
        name = key if isinstance(key, str) else f"{key[0]}: {key[1]}"
        if key not in meson:
            yield f"{kind} {name}: only in the CMake build"
        elif key not in cmake:
            yield f"{kind} {name}: only in the Meson build"
        elif cmake[key] != meson[key]:
            yield (f"{kind} {name}: only CMake: {' '.join(sorted(cmake[key] - meson[key])) or 'nothing'}; "
                   f"only Meson: {' '.join(sorted(meson[key] - cmake[key])) or 'nothing'}")


def main():
    cmake, meson = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    # A configured build may be older than sources.txt.
    for build in (cmake, meson):
        subprocess.run(["ninja", "-C", str(build), "build.ninja"], check=True, stdout=subprocess.DEVNULL)
    files = compiled(cmake)
    found = list(differences("compile", files, compiled(meson)))
    found += differences("link", linked(cmake), linked(meson))
    tests = cmake_tests(cmake)
    found += differences("test", tests, meson_tests(meson, {name for name in tests if has_command(tests[name])}))
    if not files:
        found.append("nothing is compiled")
    print("\n".join(found) if found else f"{len(files)} objects are compiled the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
