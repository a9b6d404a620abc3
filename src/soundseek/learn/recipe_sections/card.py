"""What a recipe says of the model it makes."""

from __future__ import annotations

from soundseek.learn.recipe_sections.section import Section


class CardConfig(Section):
    """What the exported model's card says that no measurement can.

    Attributes:
        license: Of the weights, as an SPDX expression.
        summary: One line.
        credits: Whose work is in it: teachers, text towers, sounds, with their licences.
        limits: What it is bad at.
    """

    license: str = ""
    summary: str = ""
    credits: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
