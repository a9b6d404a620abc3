"""`soundseek recipes`: what can be trained, every value of it, and where two recipes differ."""

from __future__ import annotations

from typing import Annotated

import typer

from soundseek.cli.extras import need
from soundseek.cli.main import commands_of, plain_errors
from soundseek.cli.options import JsonOption, RecipeArgument, SetOption, TableOption, argument
from soundseek.cli.output import choose_format, console, plain_table, plain_text, write, write_json_lines

recipes_command = commands_of(
    name="recipes",
    help="List recipes, show one with every value, or compare two.",
    invoke_without_command=True,
)


@recipes_command.callback()
@plain_errors
def list_recipes_command(
    context: typer.Context, json: JsonOption = False, table: TableOption = False
) -> None:
    """List recipes, show one with every value, or compare two."""
    if context.invoked_subcommand:
        return
    _need_yaml()
    from soundseek.learn.recipe.load import purpose, recipe_names
    from soundseek.learn.report.paper_numbers import TABLE_ONE

    output = choose_format(json=json, table=table)
    told = [(name, purpose(name), TABLE_ONE.get(name)) for name in recipe_names()]
    if output == "json":
        from dataclasses import asdict

        write_json_lines(
            {"name": name, "what": what, "paper": paper and asdict(paper)} for name, what, paper in told
        )
        return
    rows = plain_table("recipe", "paper's mAP10, %", "what", right=())
    for name, what, paper in told:
        rows.add_row(name, f"{paper.mAP10:.1f}" if paper else "–", plain_text(what))
    console().print(rows)


@recipes_command.command("show")
@plain_errors
def show_command(recipe: RecipeArgument, settings: SetOption = None, json: JsonOption = False) -> None:
    """Print a recipe with every value filled in, as YAML that `soundseek train` reads."""
    _need_yaml()
    from soundseek.learn.recipe.load import load_recipe, recipe_text

    found = load_recipe(recipe, settings or [])
    if json:
        write_json_lines([found.model_dump(mode="json")])
    else:
        write(recipe_text(found))


@recipes_command.command("diff")
@plain_errors
def diff_command(
    one: Annotated[str, argument(metavar="A", help="A recipe's name or YAML file.")],
    other: Annotated[str, argument(metavar="B", help="The recipe to compare it with.")],
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Print the values in which two recipes differ."""
    _need_yaml()
    from soundseek.learn.recipe.load import differences, load_recipe

    output = choose_format(json=json, table=table)
    pair = [load_recipe(name) for name in (one, other)]
    found = differences(pair)
    if output == "json":
        write_json_lines({"key": key, "a": a, "b": b} for key, (a, b) in found.items())
        return
    rows = plain_table("key", pair[0].name, pair[1].name, right=())
    for key, values in found.items():
        if key != "name":
            rows.add_row(key, *(plain_text("–" if value is None else str(value)) for value in values))
    console().print(rows)


def _need_yaml() -> None:
    need(["yaml"], extra="learn", why="recipes are YAML files")
