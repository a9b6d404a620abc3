"""What a package's debian/copyright states, in one line."""

from __future__ import annotations

import re
from pathlib import Path

_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9])")
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/([0-9.]+[0-9])|publicdomain/(zero))"
    r"|\bCC[- ](BY(?:-(?:SA|NC|ND))*)[- ]([0-9.]+[0-9])|\b(CC0)\b"
)
_FIELD = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)


def licence_line(text: str) -> str:
    """The licence of the package as its debian/copyright states it.

    The machine-readable form (DEP-5) names a licence for each group of files: one name is given as it stands,
    several as "mixed, see copyright: ...", without the group of the packaging itself (`Files: debian/*`). Older
    files are prose: the common licences that they point to and Creative Commons licences are named as mentioned.

    Example:
        >>> licence_line("Format: http://x\\n\\nFiles: *\\nLicense: CC0-1.0\\n\\nFiles: debian/*\\nLicense: GPL-2+\\n")
        'CC0-1.0'
    """
    names: list[str] = []
    if re.match(r"\s*Format(-Specification)?:", text):
        for paragraph in re.split(r"\n[ \t]*\n", text):
            files = re.search(r"^Files:[ \t]*((?:.*\n?)(?:[ \t].*\n?)*)", paragraph, re.MULTILINE)
            patterns = files.group(1).split() if files else []
            if patterns and all(pattern.startswith("debian") for pattern in patterns):
                continue
            if files or paragraph.lstrip().startswith("Format"):
                names += [name.strip() for name in _FIELD.findall(paragraph)]
    names = sorted(dict.fromkeys(names))
    if len(names) == 1:
        return names[0]
    if names:
        return "mixed, see copyright: " + "; ".join(names)
    mentioned = sorted({*_COMMON.findall(text), *_creative_commons(text)})
    return "see copyright" + (f" (mentions {'; '.join(mentioned)})" if mentioned else "")


def _creative_commons(text: str) -> set[str]:
    """The Creative Commons licences of a text, by their addresses and their short names."""
    names = set()
    for kind, version, zero, short, short_version, cc0 in _CREATIVE_COMMONS.findall(text):
        names.add("CC0" if zero or cc0 else f"CC {(kind or short).upper()} {version or short_version}")
    return names


def read_copyright(root: Path, package: str) -> str:
    """The text of debian/copyright in an unpacked package.

    Raises:
        FileNotFoundError: The package has none; then nothing of it may be used.
    """
    path = root / "usr/share/doc" / package / "copyright"
    if not path.is_file():
        raise FileNotFoundError(f"no usr/share/doc/{package}/copyright in the package")
    return path.read_text(encoding="utf-8", errors="replace")
