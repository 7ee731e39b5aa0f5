"""What `--help` says begins with a verb, and is short."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from modelmill_cli.app import app
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

VERBS = (
    "Build|Cancel|Chat|Compare|Create|Delete|Evaluate|Export|Follow|Import|Judge|List|Maintain|Make|"
    "Manage|Pause|Preview|Print|Put|Resume|Retire|Revert|Revoke|Rotate|Run|Set|Show|Verify|Write"
)
MAX_WORDS = 30


Command = TyperCommand | TyperGroup


def commands(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    yield name, command
    if isinstance(command, TyperGroup):
        for each, inner in command.commands.items():
            yield from commands(inner, f"{name} {each}")


COMMANDS = dict(commands(get_command(app), "mill"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_as_an_imperative(name: str):
    assert re.match(rf"(?:{VERBS})\b.*\.", COMMANDS[name].help or "", re.DOTALL)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_sentence_of_a_commands_help_has_more_than_30_words(name: str):
    command = COMMANDS[name]
    options = [it.help or "" for it in command.params if isinstance(it, TyperOption)]
    sentences = [
        sentence
        for text in [command.help or "", *options]
        for sentence in re.split(r"(?<=[.!?])\s", text)
    ]
    assert [it for it in sentences if len(it.split()) > MAX_WORDS] == []


def test_what_one_command_alone_needs_is_not_loaded_with_the_others():
    heavy = ("openai", "ruamel.yaml", "jsonschema", "gguf", "torch")
    code = f"import sys, modelmill_cli.app; print([it for it in {heavy} if it in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
