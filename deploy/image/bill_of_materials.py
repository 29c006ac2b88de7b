"""Print what the image is made of, as CycloneDX 1.5 (JSON): Python's packages with their licences, and Debian's.

Run inside the image with the environment's own Python. Licences of Debian's packages lie in the image beside them
(``/usr/share/doc/*/copyright``).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import Any

Component = dict[str, Any]
DPKG = ["/usr/bin/dpkg-query", "--show", "--showformat", "${binary:Package}\t${Version}\t${Architecture}\n"]
CLASSIFIER = "License :: "
LONGEST_NAME = 100  # some packages give the whole licence where its name belongs


def main() -> None:
    components = sorted([*_python(), *_debian()], key=lambda each: each["purl"])
    json.dump(
        {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}, sys.stdout, indent=1
    )


def _python() -> Iterator[Component]:
    for each in distributions():
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        yield {
            "type": "library",
            "name": each.name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{each.version}",
            "licenses": _licences(each),
        }


def _licences(package: Distribution) -> list[dict[str, Any]]:
    """As the package states them: an expression (PEP 639), else classifiers, else the text field, else what its licence
    begins with."""
    stated = package.metadata
    if "License-Expression" in stated:
        return [{"expression": stated["License-Expression"]}]
    named = [each.rsplit(" :: ", 1)[-1] for each in stated.get_all("Classifier", []) if each.startswith(CLASSIFIER)]
    text = stated["License"].strip() if "License" in stated else ""
    if not named and text and len(text) <= LONGEST_NAME:
        named = [text]
    if not named:
        texts = [package.read_text(f"licenses/{name}") or "" for name in stated.get_all("License-File", [])]
        named = [text.strip().splitlines()[0] for text in texts if text.strip()]
    return [{"license": {"name": each}} for each in dict.fromkeys(named)]


def _debian() -> Iterator[Component]:
    for line in subprocess.check_output(DPKG, text=True).splitlines():  # noqa: S603
        package, version, architecture = line.split("\t")
        name = package.partition(":")[0]
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-12",
        }


main()
