"""One mill a folder; what it writes there is for its owner alone."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from modelmill_cli.keys import LocalKeys
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_service_kit.errors import PreconditionError

RUNTIME = Runtime(
    os.getpid(), "http://127.0.0.1:1", "nats://127.0.0.1:2", "t", "s", "/a", {}, {}, {}
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_two_mills_on_one_folder_are_refused_by_name(tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.locked(), pytest.raises(PreconditionError, match=str(state.path)):
        StateFolder(state.path).locked().__enter__()


def test_whoever_is_refused_hears_who_holds_the_folder_and_the_holder_stays_named(tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.locked():
        for _ in range(2):
            with pytest.raises(PreconditionError, match=rf"pid {os.getpid()}, since 20\d\d-"):
                StateFolder(state.path).locked().__enter__()


def test_what_a_killed_mill_left_is_not_taken_for_a_running_one(tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.locked():
        state.write_runtime(replace(RUNTIME, pid=2**22 + 1))
        with pytest.raises(PreconditionError, match="nothing runs on"):
            state.read_runtime()


def test_the_folder_is_free_again_after_the_block(tmp_path):
    state = StateFolder(tmp_path / "state")
    for _ in range(2):
        with state.locked():
            state.write_runtime(RUNTIME)
        with pytest.raises(PreconditionError, match="mill up"):
            state.read_runtime()


def test_secrets_and_keys_are_readable_by_their_owner_alone(tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.locked():
        state.write_runtime(RUNTIME)
        LocalKeys(state.keys).ensure()
        assert mode(state.path) == 0o700
        assert mode(state.runtime_file) == 0o600
        assert mode(state.keys / "signing-key.pem") == 0o600
        assert state.read_runtime() == RUNTIME
