"""What `--help` says begins with a verb, and is short."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from cli_support.command_tree import COMMANDS
from modelmill_cli.app import run_app
from typer.core import TyperOption

VERBS = (
    "Answer|Back up|Build|Cancel|Chat|Compare|Create|Delete|Evaluate|Export|Follow|Import|Judge|"
    "List|Maintain|Make|Manage|Open|Pause|Preview|Print|Put|Restore|Resume|Retire|Revert|Revoke|"
    "Rotate|Run|Send|Set|Show|Stop|Train|Upgrade|Upload|Verify|Write"
)
MAX_WORDS = 30


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
    heavy = ("openai", "ruamel.yaml", "jsonschema", "gguf", "torch", "nats", "plotext")
    heavy += ("modelmill_guard.bundle", "modelmill_guard.detectors", "modelmill_registry.store")
    heavy += ("modelmill_service_kit.process", "modelmill_cli.stack", "pydantic_settings")
    code = f"import sys, modelmill_cli.app; print([it for it in {heavy} if it in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_said_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["--version"]) == 0
    assert capsys.readouterr().out == f"mill {version('modelmill')}\n"


def test_a_wrong_choice_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_app(["data", "create", "rows.csv", "--personal-data", "maks"]) == 2
    assert capsys.readouterr().err.startswith(
        "mill: Invalid value for '--personal-data': 'maks' is not one of 'mask', "
    )
