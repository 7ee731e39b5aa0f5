"""Commands that take from a hub or give to it; the hub is a server on loopback."""

import json
import os
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_cli import model_source
from modelmill_cli.app import run_app
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.store import FolderStore
from modelmill_testkit.hub_server import HubServer, running_hub
from modelmill_testkit.lora_adapters import make_lora_adapter
from modelmill_testkit.models import make_tiny_llama


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Gateway(ThreadingHTTPServer):
    """Knows models, and keeps what is posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, dict[str, Any]] = {}
        self.posted: list[tuple[str, bytes]] = []


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.path.startswith("/v1/models/"):
            model = self.server.models.get(name)
            error = {"error": {"message": f"no model {name}", "errors": []}}
            self.answer(json.dumps(model or error).encode(), 200 if model else 404)
            return
        self.answer(json.dumps({"tenant": "demo"} if name == "me" else {"data": []}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append((self.path, body))
        ids = {"id": f"file-{len(self.server.posted)}", "job_id": "job-1", "status": "queued"}
        self.answer(json.dumps(ids).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_writer")
        server.add("org/tiny", contents(make_tiny_llama(tmp_path / "tiny")))
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


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is brought into the store, instead of that."""
    calls: list[dict[str, Any]] = []

    async def bring(_: object, folder: Path, *over: Any, **told: Any) -> ModelReady:
        calls.append({"files": contents(folder), "over": over, **told})
        return ModelReady(version_id=f"mv-{len(calls)}", name=told["name"], size_bytes=1)

    monkeypatch.setattr(model_source, "bring_in", bring)
    monkeypatch.setattr(model_source, "bring_in_adapter", bring)
    return calls


def run(state: Path, *words: str) -> int:
    return run_app(["--state", str(state), *words])


def test_a_model_of_a_hub_is_imported_with_its_origin_and_the_download_goes(
    hub: HubServer, state: Path, brought: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert run(state, "models", "import", "hf://org/tiny", "--json") == 0

    (call,) = brought
    assert call["files"] == contents(tmp_path / "tiny")
    assert call["name"] == "tiny"
    commit = hub.repositories["models", "org/tiny"].commit
    assert call["origin"] == {
        "source": "hf://org/tiny",
        "revision": commit,
        "licence": "apache-2.0",
    }
    assert not list((state / "hub").rglob("*.safetensors"))


def test_a_refusal_of_the_hub_is_one_line(
    hub: HubServer, state: Path, brought: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(state, "models", "import", "hf://org/none") == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mill: {hub.url} has no model 'org/none'")
    assert not brought


def test_without_an_instance_nothing_is_downloaded(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "nobody", "models", "import", "hf://org/tiny") == 2

    assert "nothing runs on" in capsys.readouterr().err
    assert not hub.requests


def test_what_is_neither_folder_nor_address_says_so(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    assert run(state, "models", "import", str(tmp_path / "modl")) == 2

    said = capsys.readouterr().err
    assert "is no folder, and no address of a hub" in said
    assert "Did you mean 'model'?" in said


def test_an_adapter_brings_the_base_that_it_names_once(
    hub: HubServer,
    gateway: Gateway,
    state: Path,
    brought: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    adapter = make_lora_adapter(tmp_path / "lora", tmp_path / "tiny")
    hub.add("me/lora", contents(adapter))

    assert run(state, "models", "import", "hf://me/lora") == 0
    base, lora = brought
    assert base["name"] == "tiny"
    assert lora["over"][0].version_id == "mv-1"

    facts = {"id": "mv-1", "digest": "sha256:1", "context_tokens": 128}
    gateway.models["mv-1"] = facts
    assert run(state, "models", "import", "hf://me/lora", "--name", "again") == 0
    assert [call["name"] for call in brought] == ["tiny", "lora", "again"]
    assert brought[-1]["over"][0].context_tokens == 128


def test_an_adapter_of_a_folder_takes_the_base_that_is_given(
    gateway: Gateway, state: Path, brought: list[dict[str, Any]], tmp_path: Path
) -> None:
    base = make_tiny_llama(tmp_path / "tiny")
    adapter = make_lora_adapter(tmp_path / "lora", base, base_name="/home/me/base")
    gateway.models["kinds"] = {"id": "kinds", "version_id": "mv-9"}
    gateway.models["mv-9"] = {"id": "mv-9", "digest": "sha256:9", "context_tokens": 64}

    assert run(state, "models", "import", str(adapter)) == 2
    assert run(state, "models", "import", str(adapter), "--base", "kinds") == 0
    assert brought[0]["over"][0].version_id == "mv-9"


def test_tables_of_a_hub_become_a_dataset(hub: HubServer, gateway: Gateway, state: Path) -> None:
    hub.add("org/rows", {"a.parquet": b"PAR1a", "b.parquet": b"PAR1b"}, kind="datasets")
    words = ["--user", "{q}", "--answer", "{a}", "--no-wait"]

    assert run(state, "data", "create", "hf://datasets/org/rows", *words) == 0

    first, second, order = gateway.posted
    assert b"PAR1a" in first[1]
    assert b"PAR1b" in second[1]
    assert json.loads(order[1])["file_ids"] == ["file-1", "file-2"]


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
def test_an_adapter_is_pushed_with_the_name_of_its_base_on_the_hub(
    hub: HubServer,
    gateway: Gateway,
    state: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = FolderStore(tmp_path / "artifacts")
    base = store.commit(
        tmp_path / "tiny",
        kind="model",
        form="safetensors",
        attributes={"source": "hf://org/tiny", "revision": "a" * 40},
    )
    adapter = make_lora_adapter(tmp_path / "lora", tmp_path / "tiny", base_name="mv-base")
    (adapter / "README.md").write_text("# Kinds\n")
    held = store.commit(adapter, kind="model", form="adapter", made_from={"base": base.digest})
    gateway.models["mv-base"] = {"id": "mv-base", "digest": base.digest, "form": "safetensors"}
    gateway.models["mv-lora"] = {
        **{"id": "mv-lora", "digest": held.digest, "form": "adapter"},
        "base_version_id": "mv-base",
    }

    assert run(state, "models", "export", "mv-lora", "--push", "hf://me/kinds", "--json") == 0

    pushed = hub.repositories["models", "me/kinds"]
    assert pushed.is_private
    assert set(pushed.files) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads(pushed.files["adapter_config.json"].content)
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", "a" * 40)
    done = json.loads(capsys.readouterr().out)
    assert done["pushed_to"] == f"hf://me/kinds@{pushed.commit}"
    assert not list(state.glob("push-*"))


def test_an_export_to_nowhere_is_refused(gateway: Gateway, state: Path) -> None:
    gateway.models["mv-1"] = {"id": "mv-1", "digest": "sha256:1", "form": "safetensors"}

    assert run(state, "models", "export", "mv-1") == 2
    assert run(state, "models", "export", "mv-1", "--push", "hf://datasets/me/x") == 2
