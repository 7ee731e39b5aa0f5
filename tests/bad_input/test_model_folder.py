"""A model folder with pickles or code: one line a problem, all at once, and nothing is stored."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
from modelmill_testkit.models import make_tiny_llama

from tests.bad_input.mill import StartedMill, mill

pytestmark = pytest.mark.timeout(240)


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return print, ("never",)


def stored(stack: StartedMill) -> list[Path]:
    return sorted(path for path in stack.state.artifacts.rglob("*") if path.is_file())


def spoil(folder: Path) -> set[str]:
    """Everything wrong at once; returns what must be said, a line each."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    (folder / "other.safetensors").write_bytes(pickle.dumps(Harmful()))
    (folder / "absurd.safetensors").write_bytes((1 << 60).to_bytes(8, "little"))
    (folder / "pytorch_model.bin").write_bytes(b"\0" * 64)
    (folder / "optimizer.pt").write_bytes(b"x")
    shutil.make_archive(str(folder / "archive"), "zip", folder, "config.json")
    (folder / "archive.zip").rename(folder / "weights.dat")
    (folder / "modeling_evil.py").write_text("import os")
    (folder / "chat_template.jinja").write_text("{{ messages.__class__ }}")
    (folder / "secrets.json").symlink_to("/etc/passwd")
    (folder / "tokenizer.json").unlink()
    return {
        "config.json has auto_map",
        "config.json has trust_remote_code",
        "model.safetensors is cut short",
        "other.safetensors is a pickle",
        "absurd.safetensors is not a safetensors file",
        "pytorch_model.bin has the suffix of other weights",
        "optimizer.pt has the suffix of a pickle",
        "weights.dat is a zip archive",
        "modeling_evil.py is code",
        "chat_template.jinja reaches for the attribute __class__",
        "secrets.json is a link",
        "there is no tokenizer.json",
    }


def test_every_fault_of_a_folder_is_a_line_and_nothing_is_stored(stack: StartedMill, tmp_path):
    folder = make_tiny_llama(tmp_path / "model")
    expected = spoil(folder)
    before = stored(stack)
    with stack.client() as client:
        listed = client.models.list()

    ended = mill(stack.state.path, "models", "import", str(folder))

    lines = ended.err.splitlines()
    assert ended.status == 2
    assert len(lines) == len(expected), lines
    for said in expected:
        assert any(line.startswith(f"mill: {said}") for line in lines), (said, lines)
    assert stored(stack) == before
    with stack.client() as client:
        assert client.models.list() == listed


def test_a_folder_behind_a_link_is_imported_under_the_name_that_was_given(
    stack: StartedMill, tmp_path
):
    make_tiny_llama(tmp_path / "model")
    (tmp_path / "mine").symlink_to("model")

    ended = mill(stack.state.path, "models", "import", str(tmp_path / "mine"), "--json")

    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["name"] == "mine"


def test_a_snapshot_of_the_cache_of_a_hub_is_imported_under_the_name_of_its_repository(
    stack: StartedMill, tmp_path
):
    repository = tmp_path / "models--org--tiny"
    make_tiny_llama(repository / "blobs")
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for blob in (repository / "blobs").iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    (snapshot / "pytorch_model.bin").write_bytes(b"")

    ended = mill(stack.state.path, "models", "import", str(snapshot), "--json")

    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["name"] == "tiny"
