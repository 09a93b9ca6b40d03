#!/usr/bin/python3
"""The include graph obeys the rooms' arrows (docs/adr/0001-rooms-and-arrows.md).

usage: arrows.py [TOP]   exits 1 and names file, line and rule for each include that does not.
"""

import os
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# The three facts-only headers that config and the command line share with crypto.
FACTS = ("crypto/algorithm.h", "crypto/secret_bytes.h", "crypto/result.h")

# Room -> what its files may include of the project; the first room that matches a file counts.
ROOMS = {
    "app/cli/": ("app/cli/", "app/control/api_", "app/control/state_store.h", "config/") + FACTS,
    "app/": ("app/", "pipelines/", "crypto/", "config/"),
    "pipelines/": ("pipelines/", "crypto/"),
    "crypto/": ("crypto/",),
    "config/": ("config/",) + FACTS,
}
ALL_ROOMS = ("app/", "pipelines/", "crypto/", "config/", "perf/", "tests/")

# Room -> outside headers that neither it nor anything it includes may reach.
CLOSED_TO = {
    "app/cli/": ("rte_",),
    "config/": ("rte_",),
    "pipelines/": ("yaml-cpp/", "nlohmann/", "spdlog/", "CLI/"),
    "crypto/": ("yaml-cpp/", "nlohmann/", "spdlog/", "CLI/"),
}


def includes_of(path):
    """(line number, header) of each include in the file."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(2)


def read_graph(top):
    """File -> its includes, for every C++ file in a room of the tree at top."""
    graph = {}
    for room in ALL_ROOMS:
        for folder, _, names in os.walk(top / room):
            for name in sorted(names):
                if name.endswith((".h", ".cpp")):
                    path = pathlib.Path(folder) / name
                    graph[path.relative_to(top).as_posix()] = list(includes_of(path))
    return graph


def closure(graph, start):
    """Project files that start includes, directly or not, with start itself."""
    seen, todo = {start}, [start]
    while todo:
        for _, header in graph.get(todo.pop(), ()):
            if header in graph and header not in seen:
                seen.add(header)
                todo.append(header)
    return seen


def room_of(file, rooms):
    return next((room for room in rooms if file.startswith(room)), None)


def violations(top):
    graph = read_graph(pathlib.Path(top))
    found = []
    for file, includes in sorted(graph.items()):
        room = room_of(file, ROOMS)
        if room is None:
            continue
        for number, header in includes:
            if header.startswith(".."):
                found.append(f'{file}:{number}: "{header}": include by the path from the top')
            elif header.startswith(ALL_ROOMS) and not header.startswith(ROOMS[room]):
                found.append(f'{file}:{number}: "{header}": {room} may include only {", ".join(ROOMS[room])}')
        closed = CLOSED_TO.get(room_of(file, CLOSED_TO), ())
        for reached in sorted(closure(graph, file)):
            for number, header in graph[reached]:
                if closed and header.startswith(closed):
                    found.append(f"{file}: reaches <{header}> by {reached}:{number}: closed to {room}")
    return found


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    found = violations(top)
    print("\n".join(found) if found else "every include follows the arrows")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
