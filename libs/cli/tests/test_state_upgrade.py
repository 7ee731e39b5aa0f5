"""`mill state upgrade`: older folders are upgraded, newer ones refused; a kill loses nothing."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support.backed_up import files_of, streams_of
from cli_support.upgrading import MOMENTS, SMALL_BYTES, make_older, models_of, registered
from modelmill_cli.app import run_app
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.state_layout import LAYOUT, StateLayout, read_layout, write_layout
from modelmill_cli.upgrading.migrations import MIGRATIONS
from modelmill_cli.upgrading.upgrade_state import upgrade_state

UPGRADED = (["mv-0", "mv-1"], "1", 64 << 20)
NEWER = LAYOUT + 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(make_older(StateFolder(folder / "state"), folder / "work"))
    return folder / "state"


@pytest.fixture
def older(made: Path, tmp_path: Path) -> StateFolder:
    """A folder that no mill has upgraded."""
    return StateFolder(Path(shutil.copytree(made, tmp_path / "state")))


def mill(state: StateFolder, *arguments: str) -> int:
    return run_app(["--state", str(state.path), *arguments])


def accounts_of(state: StateFolder) -> list[str]:
    """Whose streams the folder has."""
    return [each.name for each in (state.bus / "jetstream").iterdir()]


def said_in(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of stderr that says why; a bar may stand before it."""
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("mill: ")]
    return line


def test_migrations_lead_from_each_layout_to_the_next_up_to_ours():
    assert [each.to for each in MIGRATIONS] == [*range(1, LAYOUT + 1)]


def test_a_folder_in_which_nothing_ran_gets_our_layout(tmp_path: Path):
    state = StateFolder(tmp_path / "state")
    with state.locked():
        pass
    said = read_layout(state.layout_file)
    assert said is not None
    assert (said.layout, said.upgrading_to) == (LAYOUT, 0)
    with state.locked():
        assert state.layout() == said


@pytest.mark.tier("test")
@pytest.mark.parametrize("command", [["up"], ["demo"], ["state", "import", __file__]])
def test_nothing_starts_on_an_older_folder_and_the_line_names_the_upgrade(
    older: StateFolder, capsys: pytest.CaptureFixture[str], command: list[str]
):
    assert mill(older, *command) == 2
    line = said_in(capsys)
    assert f"{older.path} has layout 0, and this mill needs {LAYOUT}. Run" in line
    assert "`mill state upgrade`" in line


@pytest.mark.tier("test")
def test_an_upgrade_is_planned_done_and_then_has_nothing_to_do(
    older: StateFolder, capsys: pytest.CaptureFixture[str]
):
    assert mill(older, "state", "upgrade", "--plan") == 0
    said = capsys.readouterr().out
    assert "layout 1: streams say their schema" in said
    assert "MODELS: max_bytes 1048576 becomes 67108864" in said
    assert "nothing was changed" in said
    assert "MODELS: max_bytes 1048576 becomes 67108864; subjects" in said
    assert asyncio.run(models_of(older)) == (["mv-0", "mv-1"], "none", SMALL_BYTES)
    assert not older.layout_file.exists()
    assert accounts_of(older) == ["$G"]

    assert mill(older, "state", "upgrade", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["layout"], report["to"], report["is_plan"]) == (0, LAYOUT, False)
    assert [step["to"] for step in report["steps"]] == [1]
    assert asyncio.run(models_of(older)) == UPGRADED
    assert older.layout_file.stat().st_mode & 0o077 == 0
    assert accounts_of(older) == ["STREAMS"]

    assert mill(older, "state", "upgrade") == 0
    assert "has layout 1 already; nothing is to be done" in capsys.readouterr().out
    with older.locked():
        pass


@pytest.mark.tier("test")
def test_a_backup_of_an_older_folder_is_restored_as_it_was_and_upgraded_there(
    older: StateFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    restored = StateFolder(tmp_path / "restored")
    assert mill(older, "backup", str(tmp_path / "backup")) == 0
    assert asyncio.run(models_of(older))[1] == "none"
    assert accounts_of(older) == ["$G"]
    capsys.readouterr()
    assert mill(restored, "restore", str(tmp_path / "backup")) == 0
    assert "run `mill state upgrade`, then `mill up`" in capsys.readouterr().out
    assert mill(restored, "up") == 2

    for state in (older, restored):
        assert mill(state, "state", "upgrade") == 0
    assert asyncio.run(streams_of(restored)) == asyncio.run(streams_of(older))
    assert files_of(restored) == files_of(older)


@pytest.mark.tier("test")
@pytest.mark.parametrize(
    "command",
    [["up"], ["state", "upgrade"], ["state", "upgrade", "--plan"], ["backup", "backup"]],
)
@pytest.mark.parametrize("said", [StateLayout(NEWER), StateLayout(LAYOUT, NEWER)])
def test_a_newer_folder_is_refused_by_name_and_left_alone(
    older: StateFolder, capsys: pytest.CaptureFixture[str], command: list[str], said: StateLayout
):
    write_layout(older.layout_file, said.layout, upgrading_to=said.upgrading_to)
    before = older.layout_file.read_bytes()
    if command[0] == "backup":
        command = ["backup", str(older.path.parent / "backup")]

    assert mill(older, *command) == 2
    line = said_in(capsys)
    assert f"{older.path} has layout {NEWER}, and this mill knows {LAYOUT}. Use the mill" in line
    assert older.layout_file.read_bytes() == before


@pytest.mark.tier("test")
@pytest.mark.parametrize("content", ["", "[]", '{"layout": "x"}', '{"layout": 1}'])
def test_a_damaged_record_of_the_layout_is_refused_by_name(
    older: StateFolder, capsys: pytest.CaptureFixture[str], content: str
):
    older.layout_file.write_text(content)
    for command in (["up"], ["state", "upgrade"]):
        assert mill(older, *command) == 2
        assert f"{older.layout_file} is damaged. Restore" in capsys.readouterr().err


@pytest.mark.tier("test")
def test_a_folder_in_use_or_without_streams_is_not_upgraded(
    older: StateFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with older.locked(range(LAYOUT + 1)):
        assert mill(older, "state", "upgrade") == 2
    assert f"in use by mill (pid {os.getpid()}" in capsys.readouterr().err
    assert mill(StateFolder(tmp_path / "none"), "state", "upgrade") == 2
    assert "has nothing to upgrade" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.tier("test")
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_upgrade_that_is_killed_starts_nothing_and_goes_on(older: StateFolder, moment: str):
    tests = str(Path(__file__).parent)
    killed = subprocess.run(
        [sys.executable, "-m", "cli_support.upgrading", str(older.path), moment],
        env=os.environ | {"PYTHONPATH": tests},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert mill(older, "up") == 2
    older.layout_file.with_suffix(".new").touch()  # as a kill while it is written leaves it

    report = asyncio.run(upgrade_state(older, lambda _step: None, registered()))

    assert report.to == 3
    assert older.layout() == StateLayout(3, 0, older.layout().mill)
    assert asyncio.run(models_of(older)) == (["mv-0", "mv-1", "mv-of-2"], "2", 64 << 20)
    assert (older.path / "of-3").exists()
    assert asyncio.run(upgrade_state(older, lambda _step: None, registered())).steps == []


@pytest.mark.tier("test")
def test_an_upgrade_that_was_killed_is_named_until_it_is_repeated(
    older: StateFolder, capsys: pytest.CaptureFixture[str]
):
    write_layout(older.layout_file, 0, upgrading_to=1)
    assert mill(older, "up") == 2
    assert "the upgrade of" in (said := capsys.readouterr().err)
    assert "was not finished. Run `mill state upgrade` again" in said
    assert mill(older, "state", "upgrade") == 0
    assert asyncio.run(models_of(older)) == UPGRADED


@pytest.mark.tier("test")
@pytest.mark.parametrize("command", [["state", "upgrade"], ["backup", "backup"]])
def test_a_folder_with_streams_of_two_accounts_is_refused_and_left_alone(
    older: StateFolder, capsys: pytest.CaptureFixture[str], command: list[str]
):
    (older.bus / "jetstream" / "STREAMS" / "streams" / "MODELS").mkdir(parents=True)
    if command[0] == "backup":
        command = ["backup", str(older.path.parent / "backup")]

    assert mill(older, *command) == 2
    assert "has streams of two accounts" in said_in(capsys)
    assert sorted(accounts_of(older)) == ["$G", "STREAMS"]
    assert not older.layout_file.exists()
