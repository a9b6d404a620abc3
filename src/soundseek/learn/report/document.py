"""A document of headings, paragraphs, lists, tables and pictures, written as Markdown and as one HTML page.

Plain strings are literal in both: a caption may hold `|`, `*` or `<`. `Strong` and `Code` are the only marks.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt

DASH = "–"
"""In a cell that has no value."""


@dataclass(frozen=True)
class Strong:
    """Bold text."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name, a path or a command."""

    text: str


Inline = str | Strong | Code


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Text of some pieces."""

    pieces: tuple[Inline, ...]

    def __init__(self, *pieces: Inline) -> None:
        object.__setattr__(self, "pieces", pieces)


@dataclass(frozen=True)
class Listed:
    """A bulleted list; every item is a tuple of pieces."""

    items: Sequence[tuple[Inline, ...]]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: A cell a column.
        rows: As long as the header.
        left: Numbers of the columns that stand left; the others hold numbers and stand right.
    """

    header: Sequence[Inline]
    rows: Sequence[Sequence[Inline]]
    left: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Picture:
    """A PNG beside the document, with words for those who do not see it."""

    file: str
    says: str


@dataclass(frozen=True)
class Preformatted:
    """A command to copy."""

    text: str


Block = Heading | Paragraph | Listed | Table | Picture | Preformatted

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
img { max-width: 100% }
code, pre { background: #f4f4f2; border-radius: 3px; padding: .1em .3em } pre { padding: .7rem; overflow-x: auto }
""".strip()


def to_markdown(blocks: Sequence[Block]) -> str:
    """The document as Markdown; pictures are linked.

    >>> print(to_markdown([Paragraph("a|b ", Strong("c"))]), end="")
    a\\|b **c**
    """
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block], title: str, pictures: Mapping[str, bytes]) -> str:
    """The document as one page that needs no other file.

    Args:
        blocks: What stands in it.
        title: Of the page.
        pictures: File -> PNG.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(to_markdown(blocks))
    for file, png in pictures.items():
        data = base64.b64encode(png).decode("ascii")
        body = body.replace(f'src="{file}"', f'src="data:image/png;base64,{data}"')
    viewport = '<meta name="viewport" content="width=device-width">'
    return f"""<!doctype html>
<html lang=en><head><meta charset="utf-8">{viewport}<title>{html.escape(title)}</title>
<style>
{_STYLE}
</style></head>
<body>
{body}
</body></html>
"""


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(pieces):
            return _markdown_pieces(pieces)
        case Listed(items):
            return "\n".join(f"* {_markdown_pieces(item)}" for item in items)
        case Table():
            return _markdown_table(block)
        case Picture(file, says):
            return f"![{_markdown_pieces((says,))}]({file})"
        case Preformatted(text):
            return f"```sh\n{text}\n```"


def _markdown_table(table: Table) -> str:
    rule = ["---" if column in table.left else "---:" for column in range(len(table.header))]
    rows = [[_markdown_piece(cell, in_table=True) for cell in row] for row in (table.header, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _markdown_pieces(pieces: Sequence[Inline]) -> str:
    return "".join(_markdown_piece(piece) for piece in pieces)


def _markdown_piece(piece: Inline, *, in_table: bool = False) -> str:
    text = " ".join((piece if isinstance(piece, str) else piece.text).splitlines())
    if isinstance(piece, Code):
        fence = "``" if "`" in text else "`"
        # Only in a table a bar ends the cell, in code too.
        return fence + (text.replace("|", "\\|") if in_table else text) + fence
    escaped = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)
    return f"**{escaped}**" if isinstance(piece, Strong) else escaped
