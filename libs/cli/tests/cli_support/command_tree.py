"""Every command of `mill` by its name."""

from collections.abc import Iterator

from modelmill_cli.app import app
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

Command = TyperCommand | TyperGroup


def _commands(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    yield name, command
    if isinstance(command, TyperGroup):
        for each, inner in command.commands.items():
            yield from _commands(inner, f"{name} {each}")


COMMANDS = dict(_commands(get_command(app), "mill"))
LEAVES = {name: it for name, it in COMMANDS.items() if not isinstance(it, TyperGroup)}
"""Those that do something."""
