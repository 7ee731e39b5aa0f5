"""`mill state import`: into a folder in which nothing has run, and nowhere else."""

import asyncio
import json
from pathlib import Path

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.archive import export_streams
from modelmill_bus.bus import Bus
from modelmill_bus.link import open_link
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.app import run_app
from modelmill_testkit.shared_nats import shared_nats


async def an_export(folder: Path) -> Path:
    """The streams of a broker with one model."""
    async with shared_nats() as server:
        async with Bus.connect(server.url, server.token, name="tester") as bus:
            await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"), msg_id="mv-1")
        async with open_link(server.url, server.token, name="tester") as link:
            await export_streams(link, folder / "state.gz", lambda _done, _total: None)
    return folder / "state.gz"


@pytest.mark.tier("test")
def test_an_import_fills_an_empty_folder_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = asyncio.run(an_export(tmp_path))
    arguments = ["--state", str(tmp_path / "state"), "state", "import", str(file)]

    assert run_app([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"messages": 1, "path": str(file)}
    assert run_app(arguments) == 2
    assert "MODELS is at message 1 already" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["verify"], ["export", "state.gz"]])
def test_what_needs_a_running_instance_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
):
    assert run_app(["--state", str(tmp_path), "state", *command]) == 2
    assert "nothing runs on" in capsys.readouterr().err


def test_an_import_of_no_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = str(tmp_path / "none.gz")
    assert run_app(["--state", str(tmp_path / "state"), "state", "import", missing]) == 2
    assert "there is no file" in capsys.readouterr().err
