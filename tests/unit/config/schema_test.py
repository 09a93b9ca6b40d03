#!/usr/bin/python3
"""The JSON Schema against the examples: editors and Sealwire agree on what is right and what is not."""

import copy
import json
import os
import pathlib
import sys

import jsonschema
import yaml

TOP = pathlib.Path(os.environ.get("SEALWIRE_SOURCE_DIR", "."))


class Loader(yaml.SafeLoader):
    """YAML 1.2 as editors read it: no dates, no yes/no, string keys."""

    def construct_mapping(self, node, deep=False):
        return {str(k): v for k, v in super().construct_mapping(node, deep).items()}


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(("timestamp",))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def changed(document, path, value):
    result = copy.deepcopy(document)
    at = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return result


def main():
    schema = json.loads((TOP / "config/schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    failures = []
    examples = sorted((TOP / "config/examples").glob("*.yaml"))
    if len(examples) < 4:
        failures.append("the examples are missing")
    documents = {}
    for path in examples:
        documents[path.name] = yaml.load(path.read_text(), Loader)
        for error in validator.iter_errors(documents[path.name]):
            failures.append(f"{path.name}: {'.'.join(map(str, error.path))}: {error.message}")
    site = documents["site-a.yaml"]
    line = ["lines", "site-a"]
    wrong = [
        (["sealwire"], "one"),
        (["sytem"], {}),
        (["ports", "lan", "mtu"], 99999),
        (["ports", "-lan"], {"device": "net_null0"}),
        (["system", "idle"], "never"),
        (line + ["stages"], ["esp", "macsek"]),
        (line + ["macsec", "suit"], "gcm-aes-128"),
        (line + ["macsec", "confidentiality-offset"], 20),
        (line + ["macsec", "tx", "sas", "4"], {"key": "00"}),
        (line + ["esp", "sas", "a-to-b", "algorithm"], "des"),
        (line + ["esp", "policies", "site-to-site", "source"], [1]),
    ]
    for path, value in wrong:
        if validator.is_valid(changed(site, path, value)):
            failures.append(f"{'.'.join(path)}: {value!r} should not be valid")
    missing = copy.deepcopy(site)
    del missing["lines"]["site-a"]["esp"]["sas"]["a-to-b"]["spi"]
    if validator.is_valid(missing):
        failures.append("an SA without spi should not be valid")
    for failure in failures:
        print(failure)
    print(f"{len(examples)} examples, {len(wrong) + 1} wrong documents, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
