"""The page's files: nothing from elsewhere, nothing inline, every vendored byte accounted for. Needs no browser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "soundseek" / "server" / "page"
OWN = [
    path
    for path in PAGE.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg") and path.parent.name != "vendor"
]


def test_vendored_files_are_what_their_table_says() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "vendor_page.py", "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_a_changed_vendored_file_is_noticed(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import vendor_page
    finally:
        sys.path.pop(0)
    (tmp_path / "VENDOR.md").write_text(
        f"| a.js | `{'0' * 64}` |\n| b.js | `{'1' * 64}` |\n", encoding="utf-8"
    )
    (tmp_path / "a.js").write_text("changed", encoding="utf-8")
    (tmp_path / "c.js").write_text("new", encoding="utf-8")
    said = vendor_page.problems(tmp_path, tmp_path)
    assert [line.split(": ")[0] for line in said] == ["b.js", "c.js", "a.js"]


def test_own_files_name_no_other_host() -> None:
    for path in OWN:
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", path.read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_markup_has_no_inline_script_or_style() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    for path in OWN:
        assert not re.search(
            r"\bstyle=\"|innerHTML|insertAdjacentHTML|\beval\(|new Function", path.read_text(encoding="utf-8")
        ), path


def test_every_icon_in_use_is_in_the_sprite_and_no_other() -> None:
    sprite = set(
        re.findall(r'<symbol id="([\w-]+)"', (PAGE / "vendor" / "icons.svg").read_text(encoding="utf-8"))
    )
    code = "\n".join(path.read_text(encoding="utf-8") for path in OWN if path.suffix == ".js")
    named = set(re.findall(r'<\$\{Icon\} name="([\w-]+)"', code)) | set(re.findall(r'icon="([\w-]+)"', code))
    assert named <= sprite
    assert {icon for icon in sprite if f'"{icon}"' not in code} == set()


def test_every_import_leads_to_a_file() -> None:
    for path in OWN:
        if path.suffix == ".js":
            for target in re.findall(r'(?:from|import) "(\.[^"]+)"', path.read_text(encoding="utf-8")):
                assert (path.parent / target).resolve().is_file(), f"{path.name} imports {target}"
