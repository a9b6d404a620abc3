"""A WordNet of a few words in the real one's files."""

from __future__ import annotations

from pathlib import Path

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
DATA = {
    # number, file, kind, words (hexadecimal), word and id (hexadecimal), pointers, gloss
    "noun": """00000001 06 n 04 car 0 auto 0 automobile 0 motor_vehicle 0 000 | a wheeled vehicle
00000002 06 n 02 car 1 railcar 0 000 | on rails
00000003 05 n 02 mouse 0 rodent 0 000 | small
00000004 06 n 02 house 0 mouse 1 000 | no such sense
00000005 06 n 02 ampere 0 a 0 000 | a unit
00000006 19 n 02 rain 0 rainfall 0 000 | water
00000007 10 n 02 baby 0 infant 0 000 | a child
00000008 11 n 02 draw 0 tie 0 000 | a finish
""",
    "verb": """00000011 32 v 03 talk 0 speak 0 verbalize 0 000 01 + 02 00 | to use language
00000012 32 v 02 talk 1 gossip 0 000 | to reveal
00000013 38 v 02 run 0 rush 0 000 | fast
00000014 36 v 02 draw 0 trace 0 000 | on a surface
""",
    "adj": """00000021 00 a 02 big(p) 0 large 0 000 | above average
00000022 00 s 02 big 1 grown_up 0 000 | adult
""",
    "adv": "00000031 02 r 02 loudly 0 aloud 0 000 | with volume\n",
}
USES = """big%3:00:00:: 1 40
big%5:00:01:adult:00 2 3
car%1:06:00:: 1 71
car%1:06:01:: 2 2
draw%1:11:00:: 1 30
draw%2:36:00:: 2 29
mouse%1:05:00:: 1 6
rain%1:19:00:: 1 26
run%2:38:00:: 1 30
talk%2:32:00:: 1 50
talk%2:32:01:: 2 2
"""
IRREGULAR = {"noun": "mice mouse\n", "verb": "ran run\nrunning run\nspoke speak\nspoken speak\n"}


def make_toy_wordnet(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for part, lines in DATA.items():
        (directory / f"data.{part}").write_text(LICENCE + lines)
        (directory / f"{part}.exc").write_text(IRREGULAR.get(part, ""))
    (directory / "cntlist.rev").write_text(USES)
    return directory
