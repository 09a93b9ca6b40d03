#!/usr/bin/python3
"""The tree's small promises: every source and test is in sources.txt, data files parse, links lead somewhere.

usage: tree.py [TOP]   exits 1 and names each file that breaks one.
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import yaml

# Files that are wrong on purpose, as input of a test.
WRONG_ON_PURPOSE = re.compile(r"/(bad|invalid|corpus)/")
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XXX|HACK)\b")


def listed_files(text):
    """Paths that sources.txt lists in any section."""
    paths = set()
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if line and not line.startswith("[") and not re.match(r"[a-z0-9-]+:", line):
            paths.add(line)
    return paths


def tracked_files(top):
    """Files of the repository, with those not added yet but not ignored."""
    command = ["git", "-C", str(top), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted(name for name in output.split("\0") if name and (top / name).is_file())


def mentioned(top, files, name):
    """Whether dev, a script or a guide names this script, so that something besides a test starts it."""
    base = pathlib.PurePath(name).name.encode()
    return any(base in (top / other).read_bytes() for other in files
               if other != name and (other == "dev" or other.startswith(("tests/", "docs/", "perf/"))))


def check_listed(top, files):
    listed = listed_files((top / "sources.txt").read_text(encoding="utf-8"))
    for name in files:
        source = name.endswith((".cpp", ".cc", ".c"))
        script = name.startswith("tests/") and os.access(top / name, os.X_OK)
        if name not in listed and (source or (script and not mentioned(top, files, name))):
            yield f"{name}: not in sources.txt"
    for name in sorted(listed - set(files)):
        yield f"sources.txt: {name} does not exist"


def niap_tests(text):
    """Names, as the guide writes them, of the tests in this source that name an item of the NIAP module."""
    names = [".".join(pair) for pair in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", text, re.M)]
    for part in re.split(r"^class ", text, flags=re.M)[1:]:
        names += [f"{re.match(r'[A-Za-z]+', part)[0]}.{test}" for test in re.findall(r"^    def (test_\w+)\(", part, re.M)]
    return {name for name in names if re.search("niap", name, re.I)}


def check_niap(top, files):
    """The guide names each test of an item, and no other."""
    guide = "docs/guides/mka.md"
    if guide not in files:
        return
    named = {name for name in re.findall(r"`(\w+\.\w+)`", (top / guide).read_text(encoding="utf-8"))
             if re.search("niap", name, re.I)}
    found = set()
    for name in files:
        if name.startswith("tests/") and name.endswith((".cpp", ".py")):
            found |= niap_tests((top / name).read_text(encoding="utf-8"))
    for name in sorted(named ^ found):
        yield f"{guide}: {name} is " + ("not the name of a test" if name in named else "not in the table of the items")


def check_parses(top, name):
    path = top / name
    if WRONG_ON_PURPOSE.search("/" + name):
        return
    try:
        if name.endswith((".yaml", ".yml")):
            list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        elif name.endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        elif name.endswith(".py"):
            ast.parse(path.read_text(encoding="utf-8"), name)
    except (yaml.YAMLError, ValueError, SyntaxError) as error:
        yield f"{name}: {' '.join(str(error).split())}"


def check_text(top, name):
    try:
        text = (top / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    first = text.split("\n", 1)[0]
    if first.startswith("#!") and "python" in first and first != "#!/usr/bin/python3":
        yield f"{name}: its first line is {first}, not #!/usr/bin/python3"
    if first.startswith("#!") and not os.access(top / name, os.X_OK):
        yield f"{name}: has a #! line but is not executable"
    if name != "tests/repo/tree.py":
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{name}:{number}: unfinished: {line.strip()}"
    if name.endswith(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not target.startswith("mailto:") and not (top / name).parent.joinpath(target).exists():
                yield f"{name}: the link {target} leads nowhere"


def check_budgets(top):
    """Each label of sources.txt has a budget, and they all fit into what CI has."""
    minutes = {}
    for line in (top / "tests/budgets.txt").read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if words:
            minutes[words[0]] = float(words[1])
    if sum(minutes.values()) >= 45:
        yield f"tests/budgets.txt: {sum(minutes.values()):g} minutes in all, CI has 45"
    sections = re.findall(r"^\[(?:test|script) (\S+) ", (top / "sources.txt").read_text(encoding="utf-8"), re.M)
    for label in sorted({label for labels in sections for label in labels.split(",")} - set(minutes)):
        yield f"tests/budgets.txt: no budget for the label {label}"


def problems(top):
    top = pathlib.Path(top)
    files = tracked_files(top)
    yield from check_listed(top, files)
    yield from check_niap(top, files)
    for name in files:
        yield from check_parses(top, name)
        yield from check_text(top, name)
    yield from check_budgets(top)


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    found = list(problems(top))
    print("\n".join(found) if found else "the tree is tidy")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
