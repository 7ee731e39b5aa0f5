"""`mill models export --bundle`: what lies in a bundle, and what none is made of.

`tests/services/test_edge_bundles.py` runs bundles.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports.zstd import tarfile
from cli_support.gateways import ModelsGateway, told_of
from modelmill_cli import edge_bundle
from modelmill_cli.app import run_app
from modelmill_cli.edge_bundle import EDGE, RUNTIMES
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.store import FolderStore
from modelmill_testkit.models import make_tiny_llama

ROOT = Path(__file__).parents[3]
MOST_LINES = 200
CONTENT = {
    *("README.md", "bench.py", "bundle.json", "requirements.txt", "run.py", "runtime.py"),
    *("licences", "licences/LICENSE", "model", "model/README.md", "model/tokenizer.json"),
}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelsGateway]:
    """A gateway with a build of a licensed base, and one with an adapter; no runtime is here."""
    monkeypatch.setattr(edge_bundle, "find_spec", lambda _name: None)
    store = FolderStore(tmp_path / "artifacts")
    base, build = make_tiny_llama(tmp_path / "base"), make_tiny_llama(tmp_path / "build")
    (base / "LICENSE").write_text("Apache License\n")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (build / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# kinds\n")
    base_digest = store.commit(base, kind="model", form="safetensors").digest
    digest = store.commit(
        build,
        kind="model",
        form="onnx-int8",
        made_from={"base": base_digest},
        attributes={"context_tokens": 512},
    ).digest
    with told_of(ModelsGateway(), monkeypatch) as server:
        made = {"name": "kinds", "digest": digest}
        server.models = {
            "mv-int8": made | {"id": "mv-int8", "form": "onnx-int8"},
            "mv-lora": made | {"id": "mv-lora", "form": "adapter"},
        }
        yield server


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder on which an instance runs: this process."""
    folder = StateFolder(tmp_path / "state")
    runtime = Runtime(
        *(os.getpid(), "http://127.0.0.1:1", "nats://127.0.0.1:2", "t", "s"),
        *(str(tmp_path / "artifacts"), {}, {}, {}),
    )
    with folder.locked():
        folder.write_runtime(runtime)
        yield folder.path


@pytest.mark.tier("test")
def test_a_bundle_has_the_build_its_runner_its_card_and_its_licence(
    gateway: ModelsGateway, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "kinds"
    arguments = ["--state", str(state), "models", "export", "mv-int8", str(target), "--bundle"]
    assert run_app(arguments) == 0
    said = capsys.readouterr().out

    found = {str(path.relative_to(target)) for path in target.rglob("*")}
    assert found >= CONTENT
    assert not found & {"model/parity", "__pycache__"}
    assert "not run here" in said
    assert f"python {target}/run.py" in said
    facts = json.loads((target / "bundle.json").read_text())
    assert facts["name"] == "kinds"
    assert (facts["context_tokens"], facts["end_tokens"]) == (512, [2])
    readme = (target / "README.md").read_text()
    assert "The licence of the base is `apache-2.0`" in readme
    assert "nothing of it was run" in readme
    assert "Not run by us: arm64, Jetson" in readme
    assert run_app(arguments) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.tier("test")
def test_a_bundle_is_one_archive_where_its_name_says_so_and_always_the_same(
    gateway: ModelsGateway, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / place / "kinds.tar.zst" for place in ("one", "other")]
    for file in files:
        file.parent.mkdir()
        arguments = ["--state", str(state), "models", "export", "mv-int8", str(file), "--bundle"]
        assert run_app(arguments) == 0

    assert files[0].read_bytes() == files[1].read_bytes()
    with tarfile.open(files[0]) as archive:
        names = {entry.name.removeprefix("kinds/") for entry in archive.getmembers()}
        assert all(entry.name.startswith("kinds/") for entry in archive.getmembers())
    assert names >= CONTENT
    assert [path.name for path in files[0].parent.iterdir()] == ["kinds.tar.zst"]
    assert "tar --zstd -xf" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["mv-lora", "there"], "this version is of form adapter"),
        (["mv-int8", "there", "--push", "hf://org/name"], "without --push"),
        (["mv-int8"], "Give one, without --push"),
    ],
)
def test_what_is_no_bundle_is_refused_with_what_to_do(
    gateway: ModelsGateway,
    state: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    assert run_app(["--state", str(state), "models", "export", "--bundle", *more]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_runner_is_short_and_needs_the_runtime_alone() -> None:
    text = (EDGE / "run.py").read_text("utf-8")

    assert text.count("\n") <= MOST_LINES
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("prefix", [runtime.prefix for runtime in RUNTIMES])
def test_a_bundle_asks_for_the_versions_that_are_tested(prefix: str) -> None:
    locked = (ROOT / "constraints.txt").read_text("utf-8")
    wanted = (EDGE / f"{prefix}_requirements.txt").read_text("utf-8").splitlines()

    assert [line for line in wanted if f"\n{line} \\" not in locked] == []


@pytest.mark.tier("test")
def test_a_bundle_without_its_model_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_bytes((EDGE / "run.py").read_bytes())
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", "x"], capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert "bundle.json" in done.stderr
