"""A state folder that cannot be used is one line, whatever is wrong with it."""

import ctypes
import os
import subprocess

import pytest

from tests.bad_input.mill import StartedMill, command, mill, processes_on

pytestmark = pytest.mark.timeout(240)

PR_CAPBSET_DROP = 24
OVERRIDES_OF_PERMISSIONS = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: without them root is a user like any other."""


def without_overrides() -> None:
    for capability in OVERRIDES_OF_PERMISSIONS:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.mark.parametrize(("name", "sub_command"), [("state", "up"), ("state/below", "demo")])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, name, sub_command):
    (tmp_path / "state").write_text("not a folder")
    ended = mill(tmp_path / name, sub_command)
    assert ended.status == 2
    assert str(tmp_path / "state") in ended.line
    assert "is not a folder" in ended.line
    assert (tmp_path / "state").read_text() == "not a folder"


@pytest.mark.parametrize("mode", [0o500, 0o000], ids=["read-only", "closed"])
def test_a_folder_that_is_not_ours_to_write_is_named(tmp_path, mode):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    ended = subprocess.run(
        command(folder, "up"),
        preexec_fn=without_overrides,
        capture_output=True,
        text=True,
        timeout=60,
    )
    folder.chmod(0o700)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert line == (
        f"mill: {folder} cannot be written (Permission denied). Make it yours or give --state"
        " another folder"
    )
    assert os.listdir(folder) == []


def test_a_second_mill_on_one_folder_says_who_holds_it_and_harms_nothing(stack: StartedMill):
    running = {process.pid for process in processes_on(stack.state.path)}
    ended = mill(stack.state.path, "up")
    assert ended.status == 2
    assert f"is in use by mill (pid {stack.process.pid}, since 20" in ended.line
    assert {process.pid for process in processes_on(stack.state.path)} == running
    with stack.client() as client:
        assert isinstance(client.models.list(), list)
