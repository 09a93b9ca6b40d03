"""Files of rows as `./dev bench --json` writes them; docs/benchmarking.md names the fields."""

import json
import math
import pathlib
import sys

KEY = ("workload", "algorithm", "size", "direction", "cores", "sas")
# The figure that is compared: each row has one of them, or is of latency.
CYCLES = ("cycles_per_packet", "cycles_per_sa")
LATENCY = ("load", "p50_us", "p99_us", "p999_us")
# What decides whether two files may be compared at all, and what a reader should know of when it differs.
MACHINE = ("cpu", "cpu_features")
CIRCUMSTANCES = ("kernel", "hugepages", "libraries")


class BadFile(Exception):
    """The file is not what ./dev bench writes; the message names it and says what is wrong."""


def key(row):
    return tuple(row.get(field, "-") for field in KEY)


def cycles(row):
    return next(row[field] for field in CYCLES if field in row)


def is_latency(row):
    return "p50_us" in row


def read(path):
    """The file (- is the standard input) as a dictionary; each of its rows has its figures, and no key comes twice."""
    try:
        data = json.loads(sys.stdin.read() if path == "-" else pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: {error}") from error
    machine = data.get("machine") if isinstance(data, dict) else None
    if not isinstance(machine, dict) or not all(field in machine for field in MACHINE) or "rows" not in data:
        raise BadFile(f"{path}: has no machine and rows: not written by ./dev bench --json")
    if not isinstance(data["rows"], list):
        raise BadFile(f"{path}: rows is no list")
    seen = set()
    for number, row in enumerate(data["rows"]):
        check_row(f"{path}: row {number}", row)
        if not is_latency(row) and key(row) in seen:
            raise BadFile(f"{path}: row {number} has the same {', '.join(KEY)} as one before")
        seen.add(key(row))
    return data


def check_row(where, row):
    if not isinstance(row, dict):
        raise BadFile(f"{where} is no object")
    if not isinstance(row.get("workload"), str):
        raise BadFile(f"{where} has no workload")
    for field in KEY:
        if not isinstance(row.get(field, ""), (str, int)):
            raise BadFile(f"{where}: {field} is {row[field]}")
    figures = LATENCY if is_latency(row) else (next((field for field in CYCLES if field in row), CYCLES[0]), "spread")
    for field in figures:
        value = row.get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise BadFile(f"{where}: {field} is {value}, not a number")
