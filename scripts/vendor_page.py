"""Fetch the libraries of the search page into src/soundseek/server/page/vendor, exactly as pinned here.

    python scripts/vendor_page.py           # needs npm; writes the files, their licences and VENDOR.md
    python scripts/vendor_page.py --check   # needs nothing; exits 1 where a file is not what VENDOR.md says

The page has no build step, so each file is one that a browser loads as it is. Three things are changed on the way,
each checked to apply exactly once where it must: bare module names become relative ones (a browser knows no
node_modules), source map comments go, and wavesurfer's inline <style> becomes a module (a strict
Content-Security-Policy blocks inline styles).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "src" / "soundseek" / "server" / "page" / "vendor"
AXE = ROOT / "tests" / "page" / "vendor"
TABLE = "VENDOR.md"

ICONS = """
    arrow-left audio-lines bookmark chart-gantt check chevron-down chevron-right circle-alert circle-minus copy
    download ellipsis folder folder-open folder-plus heart info keyboard lasso library list list-music list-plus
    map maximize-2 mic monitor moon pause pencil play plus radar refresh-cw repeat rotate-ccw scale scissors
    search skip-back skip-forward sliders-horizontal square sun tag text-search trash-2 triangle-alert unplug
    volume-1 volume-2 volume-x waves x zoom-in zoom-out
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Package:
    """One npm package at one version, and which of its files become which of ours."""

    name: str
    version: str
    licence: str
    licence_file: str
    why: str
    files: dict[str, str]
    folder: Path = VENDOR


PACKAGES = [
    Package(
        "preact", "11.2.0", "MIT", "LICENSE", "components",
        {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"},
    ),
    Package("@preact/signals-core", "1.14.5", "MIT", "LICENSE", "state", {"dist/signals-core.mjs": "signals-core.js"}),
    Package("@preact/signals", "2.11.4", "MIT", "LICENSE", "state in components", {"dist/signals.mjs": "signals.js"}),
    Package("htm", "3.1.1", "Apache-2.0", "LICENSE", "markup without a build step", {"dist/htm.mjs": "htm.js"}),
    Package(
        "wavesurfer.js", "8.0.1", "BSD-3-Clause", "LICENSE", "the waveform and spectrogram of one file",
        {
            "dist/wavesurfer.esm.js": "wavesurfer.js",
            "dist/plugins/regions.esm.js": "wavesurfer-regions.js",
            "dist/plugins/spectrogram.esm.js": "wavesurfer-spectrogram.js",
            "dist/plugins/timeline.esm.js": "wavesurfer-timeline.js",
        },
    ),
    Package("kdbush", "4.1.0", "ISC", "LICENSE", "which point of the map is nearest", {"index.js": "kdbush.js"}),
    Package(
        "@fontsource-variable/inter", "5.3.0", "OFL-1.1", "LICENSE", "the typeface",
        {
            "files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
            "files/inter-latin-ext-wght-normal.woff2": "inter-latin-ext.woff2",
        },
    ),
    Package(
        "lucide-static", "1.62.0", "ISC", "LICENSE", "icons, one sprite of the ones in use",
        {"icons": "icons.svg"},
    ),
    Package(
        "axe-core", "4.14.1", "MPL-2.0", "LICENSE", "the tests' check of accessibility; not part of the page",
        {"axe.min.js": "axe.min.js"}, AXE,
    ),
]  # fmt: skip

# What a module of one package calls another.
MODULES = {
    "preact": "./preact.js",
    "preact/hooks": "./preact-hooks.js",
    "@preact/signals-core": "./signals-core.js",
}
WAVESURFER_STYLE = re.compile(r"<style\$\{.*?\}>(?P<css>.*?)</style>", re.DOTALL)


def main() -> None:
    """Write the vendored files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="compare the files with VENDOR.md; fetch nothing"
    )
    if parser.parse_args().check:
        wrong = [problem for folder in (VENDOR, AXE) for problem in problems(folder, ROOT)]
        print("\n".join(wrong) or "every vendored file is what VENDOR.md says")
        sys.exit(bool(wrong))
    for folder in (VENDOR, AXE):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [(package, fetch(package, Path(scratch))) for package in PACKAGES]
    for folder in (VENDOR, AXE):
        (folder / TABLE).write_text(table([row for row in rows if row[0].folder == folder]), encoding="utf-8")
        print(f"wrote {folder.relative_to(ROOT)}")


def fetch(package: Package, scratch: Path) -> str:
    """Download one package, write its files; the integrity that npm reports for the download."""
    packed = subprocess.run(
        ["npm", "pack", "--json", "--silent", "--pack-destination", scratch, f"{package.name}@{package.version}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    answer = json.loads(packed.stdout)
    entry = answer[0] if isinstance(answer, list) else next(iter(answer.values()))
    with tarfile.open(scratch / entry["filename"].replace("@", "").replace("/", "-")) as archive:
        for inside, outside in package.files.items():
            content = sprite(archive) if outside == "icons.svg" else read(archive, inside)
            if outside.endswith(".js") and package.folder == VENDOR:
                content = as_a_browser_loads_it(outside, content.decode("utf-8"), package.folder).encode(
                    "utf-8"
                )
            (package.folder / outside).write_bytes(content)
        (package.folder / licence_name(package)).write_bytes(read(archive, package.licence_file))
    return str(entry["integrity"])


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """One file of an npm download, which keeps everything below `package/`."""
    member = archive.extractfile(f"package/{name}")
    if member is None:
        raise SystemExit(f"the download has no file {name}")
    return member.read()


def as_a_browser_loads_it(name: str, text: str, folder: Path) -> str:
    """A module whose imports a browser can follow, without its source map comment."""
    text = re.sub(r"\n?//# sourceMappingURL=\S+\s*$", "\n", text)

    def relative(match: re.Match[str]) -> str:
        if match["module"] not in MODULES:
            raise SystemExit(f"{name} imports {match['module']}: name its file in MODULES")
        return f'{match["word"]}"{MODULES[match["module"]]}"'

    text = re.sub(r"""(?P<word>\b(?:from|import)\s*)["'](?P<module>[^"'./][^"']*)["']""", relative, text)
    return without_inline_style(text, folder) if name == "wavesurfer.js" else text


def without_inline_style(text: str, folder: Path) -> str:
    """wavesurfer without its <style>, which becomes `wavesurfer-style.js` for the shadow root to adopt."""
    styles = list(WAVESURFER_STYLE.finditer(text))
    if len(styles) != 1:
        raise SystemExit(
            f"wavesurfer has {len(styles)} inline styles, not the one that this script takes out"
        )
    # Its one computed value is the least height of the canvases' box; the page gives the box its height.
    css = re.sub(r"min-height: \$\{.*?\}px;", "", styles[0]["css"]).replace("\\n", "\n")
    if "${" in css:
        raise SystemExit("wavesurfer's inline style has computed values that this script does not know")
    (folder / "wavesurfer-style.js").write_text(f"export default `{css}`;\n", encoding="utf-8")
    return WAVESURFER_STYLE.sub("", text)


def sprite(archive: tarfile.TarFile) -> bytes:
    """One SVG with a <symbol> for each icon in use."""
    symbols = []
    for icon in sorted(ICONS):
        svg = read(archive, f"icons/{icon}.svg").decode("utf-8")
        body = re.search(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)
        assert body is not None, icon
        shapes = " ".join(body[1].split())
        symbols.append(
            f'<symbol id="{icon}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" '
            f'stroke-linecap="round" stroke-linejoin="round">{shapes}</symbol>'
        )
    body_text = "\n".join(symbols)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{body_text}\n</svg>\n'.encode()


def licence_name(package: Package) -> str:
    return f"LICENSE-{package.name.strip('@').replace('/', '-')}.txt"


def table(rows: list[tuple[Package, str]]) -> str:
    """VENDOR.md: packages with version, licence and npm's checksum; files with SHA-256."""
    folder = rows[0][0].folder
    lines = [
        "# Vendored libraries", "",
        "Written by `scripts/vendor_page.py`, which says what is changed on the way; `--check` compares.", "",
        "| package | version | licence | for | npm integrity |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for package, integrity in rows:
        licence = f"[{package.licence}]({licence_name(package)})"
        lines.append(f"| {package.name} | {package.version} | {licence} | {package.why} | `{integrity}` |")
    lines += ["", "| file | SHA-256 |", "|---|---|"]
    lines += [
        f"| {path.name} | `{sha256(path)}` |" for path in sorted(folder.iterdir()) if path.name != TABLE
    ]
    return "\n".join(lines) + "\n"


def problems(folder: Path, root: Path) -> list[str]:
    """What differs between the files of a folder and its VENDOR.md; paths are said from the root."""
    text = (folder / TABLE).read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{64})` \|$", text, re.MULTILINE))
    present = {path.name: sha256(path) for path in folder.iterdir() if path.name != TABLE}

    def report(name: str, what: str) -> str:
        return f"{(folder / name).relative_to(root)}: {what}"

    return [
        *(report(name, "named in VENDOR.md, but missing") for name in sorted(stated.keys() - present.keys())),
        *(report(name, "not named in VENDOR.md") for name in sorted(present.keys() - stated.keys())),
        *(
            report(name, "not the file that VENDOR.md names")
            for name in sorted(stated.keys() & present.keys())
            if stated[name] != present[name]
        ),
    ]  # fmt: skip


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
