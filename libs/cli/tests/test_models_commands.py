"""`mill models show` and `card`: what a person reads of a version in a terminal."""

import json
import os
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_registry.store import FolderStore
from modelmill_testkit.models import make_tiny_llama

CARD = "---\nlicense: apache-2.0\n---\n\n# kinds\n\nAn adapter.\n"


class Gateway(ThreadingHTTPServer):
    """Answers with what it has of models."""

    daemon_threads = True
    models: dict[str, dict[str, Any]]
    deleted: list[str]


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        name, _, part = self.path.removeprefix("/v1/").removeprefix("models/").partition("/")
        model = self.server.models[name]
        if part == "card":
            version = model.get("version_id", name)
            model = {"id": version, "card": CARD if version == "mv-tuned" else None}
        self.answer(json.dumps(model).encode())

    def do_PUT(self) -> None:
        errors = ["version_id: is none", "shadow: is none, either"]
        error = {"message": "; ".join(errors), "errors": errors}
        self.answer(json.dumps({"error": error}).encode(), 422)

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path)
        self.answer(json.dumps({"version_ids": ["mv-tuned", "mv-int8"]}).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that knows a version with a card, one without, and a name of the first."""
    store = FolderStore(tmp_path / "artifacts")
    for name, files in (("mv-tuned", {"README.md": CARD}), ("mv-import", {"config.json": "{}"})):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
    digests = {
        name: store.commit(tmp_path / name, kind="model", form="adapter").digest
        for name in ("mv-tuned", "mv-import")
    }
    with told_of(Gateway(("127.0.0.1", 0), _Handler), monkeypatch) as server:
        server.models = {
            name: {"id": name, "name": "kinds", "digest": digest, "metrics": {"accuracy": 0.875}}
            for name, digest in digests.items()
        }
        server.deleted = []
        server.models["kinds"] = {"id": "kinds", "version_id": "mv-tuned"}
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


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_app(list(words)) == 0
    return capsys.readouterr().out


def test_a_name_shows_its_version_with_what_was_measured(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = said(capsys, "models", "show", "kinds")

    assert "mv-tuned" in shown
    assert gateway.models["mv-tuned"]["digest"] in shown
    assert "0.875" in shown


def test_a_version_is_shown_with_time_size_and_capabilities_in_words(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    able = {"logprobs": True, "top_logprobs": 20, "tools": False}
    gateway.models["mv-tuned"] |= {"created": 0, "size_bytes": 272_584_730, "capabilities": able}
    lines = [
        " ".join(line.split()) for line in said(capsys, "models", "show", "kinds").splitlines()
    ]

    assert {"created 1970-01-01 00:00 UTC", "size 272.6 MB"} <= {*lines}
    assert "capabilities logprobs, top logprobs 20" in lines


def test_a_card_is_printed_as_the_gateway_has_it(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "models", "card", "kinds") == f"{CARD}\n"

    as_json = said(capsys, "models", "card", "kinds", "--json")
    assert json.loads(as_json) == {"id": "mv-tuned", "card": CARD}

    file = tmp_path / "card.md"
    said(capsys, "models", "card", "mv-tuned", "--output", str(file))
    assert file.read_text() == CARD


@pytest.mark.parametrize(
    ("size", "words"),
    [(134_515_008, "134.5 MB"), (13_452_000_000, "13.5 GB"), (230_400, "230.4 kB"), (0, "0 byt")],
)
def test_a_list_shows_sizes_in_the_largest_unit(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], size: int, words: str
) -> None:
    gateway.models["models"] = {"data": [{"id": "mv-1", "size_bytes": size}]}

    assert words in said(capsys, "models", "list")


def test_a_list_shows_no_size_of_an_alias(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.models["models"] = {"data": [{"id": "default", "version_id": "mv-1"}]}

    assert "bytes" not in said(capsys, "models", "list")


def test_a_list_and_a_model_say_that_an_engine_loads_it(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    loading = {"elapsed_seconds": 12.4, "remaining_seconds": None}
    gateway.models["models"] = {"data": [{"id": "mv-1", "loading": loading}]}
    gateway.models["mv-tuned"]["loading"] = loading

    assert "loading… 12 s so far" in said(capsys, "models", "list")
    assert "loading… 12 s so far" in said(capsys, "models", "show", "mv-tuned")

    gateway.models["models"] = {"data": [{"id": "mv-1", "loading": None}]}
    assert "loading" not in said(capsys, "models", "list")


def test_what_is_wrong_with_a_call_is_told_in_a_line_for_each_thing(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["models", "alias", "live", "mv-tuned"]) == 2

    assert capsys.readouterr().err.splitlines() == [
        "mill: PUT /v1/aliases/live: 422: version_id: is none",
        "mill: PUT /v1/aliases/live: 422: shadow: is none, either",
    ]


def test_an_import_without_a_chat_template_warns_before_anything_is_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_tiny_llama(tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()

    run_app(["--state", str(tmp_path / "nobody"), "models", "import", str(folder)])

    assert "warning: the folder has no chat template" in capsys.readouterr().err


def test_a_version_without_a_card_says_so(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["models", "card", "mv-import"]) == 2
    assert "has no card" in capsys.readouterr().err


def test_an_alias_and_a_model_are_deleted_by_their_names(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "models", "unalias", "kinds") == "kinds: no alias any more\n"
    assert said(capsys, "models", "delete", "kinds") == "kinds: deleted mv-tuned mv-int8\n"
    assert gateway.deleted == ["/v1/aliases/kinds", "/v1/models/kinds"]


def test_an_adapter_is_exported_with_its_base_beside_it_and_without_our_evidence(
    gateway: Gateway, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path / "artifacts")
    base, adapter = tmp_path / "the-base", tmp_path / "the-adapter"
    make_tiny_llama(base)
    (adapter / "parity").mkdir(parents=True)
    (adapter / "parity" / "goldens.json").write_text("[]")
    (adapter / "adapter_config.json").write_text(
        json.dumps({"r": 4, "base_model_name_or_path": "mv-base"})
    )
    for name, folder, form in (
        ("mv-base", base, "safetensors"),
        ("mv-lora", adapter, "adapter"),
    ):
        digest = store.commit(folder, kind="model", form=form).digest
        gateway.models[name] = {"id": name, "digest": digest, "form": form}
    gateway.models["mv-lora"]["base_version_id"] = "mv-base"

    target = tmp_path / "out"
    shown = said(capsys, "--state", str(state), "models", "export", "mv-lora", str(target))
    assert "PeftModel.from_pretrained" in shown
    config = json.loads((target / "adapter_config.json").read_text())
    assert config == {"r": 4, "base_model_name_or_path": "base"}
    assert (target / "base" / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert not (target / "parity").exists()
    assert os.access(target / "adapter_config.json", os.W_OK)

    other = str(tmp_path / "other")
    as_json = said(capsys, "--state", str(state), "models", "export", "mv-lora", other, "--json")
    assert json.loads(as_json)["path"] == other

    assert run_app(["--state", str(state), "models", "export", "mv-lora", str(target)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "said_of_it"),
    [
        ("gguf-q8_0", 'ollama create NAME -f "{folder}/Modelfile"'),
        ("compressed-tensors-int4", 'vllm serve "{folder}"'),
        ("onnx-int8", 'onnxruntime_genai.Model("{folder}")'),
    ],
)
def test_an_exported_form_is_shown_with_what_runs_it(
    gateway: Gateway,
    state: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    said_of_it: str,
) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "weights").write_text("of it")
    digest = FolderStore(tmp_path / "artifacts").commit(build, kind="model", form=form).digest
    gateway.models["mv-out"] = {"id": "mv-out", "digest": digest, "form": form}

    target = tmp_path / "out"
    shown = said(capsys, "--state", str(state), "models", "export", "mv-out", str(target))

    assert said_of_it.format(folder=target) in shown.replace("\n", "")
    assert (target / "weights").read_text() == "of it"
