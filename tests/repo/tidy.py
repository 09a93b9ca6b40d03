#!/usr/bin/python3
"""clang-tidy over every source of a configured build, in bounded time.

usage: tidy.py BUILD [--jobs N] [--seconds N]

A file whose text, project headers, compile command and .clang-tidy have not changed since it was found clean is not
checked again: what was clean is kept under build/lint/tidy. When the time is up, the files left are counted, not
failed; the files changed last go first.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import arrows

TOP = pathlib.Path(__file__).resolve().parents[2]
CLEAN = TOP / "build/lint/tidy"


def changed_at(files):
    """File -> rank, 0 for the one changed last: first those that differ from HEAD, then by commit."""
    def lines(*arguments):
        output = subprocess.run(["git", "-C", str(TOP), *arguments], check=False, stdout=subprocess.PIPE).stdout
        return output.decode().splitlines()

    order = lines("diff", "--name-only", "HEAD") + lines("log", "--format=", "--name-only")
    rank = {}
    for name in order:
        rank.setdefault(name, len(rank))
    return {file: rank.get(file, -1) for file in files}


def sources(build):
    """File -> its compile command, for each project source; one command is enough where targets share a file."""
    result = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(os.path.realpath(os.path.join(entry["directory"], entry["file"])))
        if path.is_relative_to(TOP) and not path.is_relative_to(TOP / "build"):
            result[path.relative_to(TOP).as_posix()] = entry["command"].replace(str(TOP), "")
    return result


def key_of(file, command, graph):
    digest = hashlib.sha256(command.encode())
    for name in [".clang-tidy", *sorted(arrows.closure(graph, file))]:
        digest.update(name.encode() + (TOP / name).read_bytes())
    return digest.hexdigest()


def check(build, file, deadline):
    """(file, verdict, output): clean, bad or left."""
    remaining = deadline - time.monotonic()
    if remaining < 1:
        return file, "left", ""
    command = ["clang-tidy", "--quiet", "-p", str(build), "--extra-arg=-Wno-unknown-warning-option",
               "--extra-arg=-Wno-unused-command-line-argument",
               # as sources.txt has it for clang: GCC's -Wconversion means less than clang's
               "--extra-arg=-Wno-sign-conversion", "--extra-arg=-Wno-implicit-int-float-conversion", str(TOP / file)]
    try:
        result = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=remaining)
    except subprocess.TimeoutExpired:
        return file, "left", ""
    if result.returncode == 0:
        return file, "clean", ""
    return file, "bad", (result.stdout or result.stderr).decode(errors="replace").replace(str(TOP) + "/", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=200)
    options = parser.parse_args()
    build = options.build.resolve()
    deadline = time.monotonic() + options.seconds

    graph = arrows.read_graph(TOP)
    keys = {file: key_of(file, command, graph) for file, command in sources(build).items()}
    CLEAN.mkdir(parents=True, exist_ok=True)
    rank = changed_at(keys)
    todo = sorted((file for file, key in keys.items() if not (CLEAN / key).exists()), key=lambda file: rank[file])
    verdicts = {"clean": 0, "bad": 0, "left": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for file, verdict, output in pool.map(lambda file: check(build, file, deadline), todo):
            verdicts[verdict] += 1
            if verdict == "clean":
                (CLEAN / keys[file]).touch()
            elif verdict == "bad":
                print(f"--- {file}\n{output}")
    print(f"clang-tidy: {len(keys)} files: {len(keys) - len(todo)} known clean, {verdicts['clean']} found clean, "
          f"{verdicts['bad']} with findings, {verdicts['left']} left for lack of time")
    return 1 if verdicts["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
