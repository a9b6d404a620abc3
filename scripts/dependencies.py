"""Which packages an installation of soundseek brings, their licences, and whether each is one that we accept.

    python scripts/dependencies.py            # writes docs/dependencies.md
    python scripts/dependencies.py --check    # says what is not accepted or not installed, and exits with 1

What is installed here is read: run it in an environment with the extras. A package that only another system needs is
named by those extras' metadata and left out here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import tomllib
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[1] / "docs" / "dependencies.md"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
DEVELOPERS_EXTRAS = {"dev", "docs"}
"""What users do not install."""

ACCEPTED = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|LGPL|Lesser General Public|Unlicense|CC0|"
    r"0BSD|Zlib|HPND|Public Domain|ZPL)\b",
    re.IGNORECASE,
)
"""Licences that a program under Apache-2.0 may depend on; LGPL, because anybody may replace a separate package."""

REFUSED = re.compile(r"\bA?GPL|Affero|(?<!Lesser )General Public License", re.IGNORECASE)
"""Though another licence stands beside it."""

# Read in their files, since their metadata do not say.
STATED_IN_FILES: dict[str, str] = {}


@dataclass(frozen=True)
class Dependency:
    """One installed package.

    Attributes:
        name: As the index spells it, normalised.
        version: Of what is installed here.
        licence: What its metadata say.
        extras: Which of soundseek's extras bring it; "soundseek" for what every installation has.
    """

    name: str
    version: str
    licence: str
    extras: tuple[str, ...]

    @property
    def is_accepted(self) -> bool:
        return bool(ACCEPTED.search(self.licence)) and not REFUSED.search(self.licence)


def find_dependencies() -> tuple[list[Dependency], list[str]]:
    """All packages that soundseek's extras bring, by name; and the names of those that are not installed here."""
    brought: dict[str, list[str]] = {}
    missing: set[str] = set()
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for extra in ("", *extras):
        if extra not in DEVELOPERS_EXTRAS:
            for name in _reachable(project["dependencies"] + extras.get(extra, []), extras, missing):
                brought.setdefault(name, []).append(extra or "soundseek")
    found = [
        Dependency(name, metadata.version(name), licence_of(name), tuple(extras))
        for name, extras in sorted(brought.items())
    ]
    return found, sorted(missing)


def licence_of(name: str) -> str:
    """What a package's metadata say of its licence, in a few words; empty if nothing."""
    described = metadata.metadata(name)
    if expression := described.get("License-Expression"):
        return expression
    trove = [
        line.rpartition(" :: ")[2]
        for line in described.get_all("Classifier") or []
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if trove:
        return " or ".join(trove)
    stated = (described.get("License") or "").strip()
    return stated.splitlines()[0][:60] if stated else STATED_IN_FILES.get(name, "")


def _reachable(lines: list[str], extras: dict[str, list[str]], missing: set[str]) -> list[str]:
    """Names of the packages that some requirements bring on this system; soundseek's own extras are followed."""
    waiting = deque((Requirement(line), "") for line in lines)
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.popleft()
        if requirement.marker and not requirement.marker.evaluate({**default_environment(), "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for asked in ("", *sorted(requirement.extras)):
            if (name, asked) in seen:
                continue
            seen.add((name, asked))
            try:
                of_it = extras.get(asked, []) if name == "soundseek" else metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                missing.add(name)
                continue
            waiting += [(Requirement(line), asked) for line in of_it]
    return sorted({name for name, _ in seen} - {"soundseek"} - missing)


def page(dependencies: list[Dependency]) -> str:
    """docs/dependencies.md."""
    everywhere = max((each.extras for each in dependencies), key=len, default=())
    rows = [
        f"| {each.name} | {each.licence} | {'everything' if each.extras == everywhere else ', '.join(each.extras)} |"
        for each in dependencies
    ]
    return "\n".join(
        [
            "# What an installation brings",
            "",
            "Every package that soundseek and its extras install on Linux, with the licence that it states (written by",
            "`scripts/dependencies.py`). soundseek is under Apache-2.0; what the page carries from npm lies in",
            "`src/soundseek/server/page/vendor` with its licences.",
            "",
            "* `make sbom` writes a bill of materials of the environment (CycloneDX, JSON).",
            "* `make audit` holds the installed versions against the public database of vulnerabilities (pip-audit;",
            "  needs the internet).",
            "* `make package` builds wheel and sdist, installs each into a clean environment and compares what they",
            "  find.",
            "* `make lowest` tests the searching half with the lowest versions that `pyproject.toml` allows.",
            "* What soundseek downloads is checked by what is published of it: sizes, and sha256, md5 or git's digest.",
            "  AudioCaps' tables of captions have none, and WavCaps' are pinned to a commit; both come by https alone.",
            "",
            "| package | licence | brought by |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    dependencies, missing = find_dependencies()
    refused = [each for each in dependencies if not each.is_accepted]
    for each in refused:
        print(
            f"{each.name} {each.version}: {each.licence or 'not stated'!r} is not accepted; read it and add it "
            "to ACCEPTED or STATED_IN_FILES, or do without the package",
            file=sys.stderr,
        )
    for name in missing:
        print(f"{name} is not installed here; pip install '.[dev]'", file=sys.stderr)
    if not options.check:
        PAGE.write_text(page(dependencies), encoding="utf-8")
    return bool(refused or missing)


if __name__ == "__main__":
    raise SystemExit(main())
