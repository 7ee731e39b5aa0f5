"""Import of a model folder: a good one is a version, a malicious corpus is refused line by line."""

import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from jobs.bus import Bus
from jobs.subjects import MODEL_READY
from modelmill.registry.v1.model_events_pb2 import ModelReady
from registry.catalogue import ModelCatalogue
from registry.model_folder import check_model_folder, import_model
from registry.read_model import ReadModel
from registry.store import FolderStore
from service_kit.errors import InvalidInputError
from testkit.models import make_tiny_llama

FolderOf = Callable[[Mapping[str, bytes]], Path]
CONFIG = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512}


class Following(Protocol):
    async def __call__(self, *models: ReadModel) -> None: ...


def safetensors(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def tensor(start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]}


WEIGHTS = safetensors({"a": tensor(0, 4), "b": tensor(4, 6)}, b"123456")
GOOD = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_llama(tmp_path / "tiny", context_tokens=256)


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        check_model_folder(folder)
    return caught.value.errors


def test_a_clean_folder_tells_its_architecture_context_and_size(tiny: Path) -> None:
    checked = check_model_folder(tiny)
    assert checked.architecture == "LlamaForCausalLM"
    assert checked.context_tokens == 256
    assert checked.size_bytes == sum(path.stat().st_size for path in tiny.iterdir())


def test_a_sharded_folder_with_the_limit_in_its_text_part_is_taken(folder_of: FolderOf) -> None:
    config = {"architectures": ["X"], "text_config": {"max_position_embeddings": 99}}
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    files = {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b"{}",
        "one.safetensors": WEIGHTS,
        "two.safetensors": WEIGHTS,
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    assert check_model_folder(folder_of(files)).context_tokens == 99


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


def index_naming(shard: str) -> bytes:
    return json.dumps({"weight_map": {"a": shard}}).encode()


INDEX = "model.safetensors.index.json"
MALICIOUS: dict[str, tuple[dict[str, bytes], str]] = {
    "a pickle that is called safetensors": (
        {"model.safetensors": pickle.dumps(Harmful())},
        "model.safetensors is a pickle",
    ),
    "a text pickle that is called JSON": (
        {"config.json": pickle.dumps(Harmful(), protocol=0)},
        "config.json is a pickle",
    ),
    "torch weights": ({"pytorch_model.bin": b"x"}, "pytorch_model.bin has the suffix of torch"),
    "training arguments": (
        {"training_args.bin": pickle.dumps({})},
        "training_args.bin is a pickle",
    ),
    "a checkpoint": ({"sub/optimizer.pt": b"x"}, "sub/optimizer.pt has the suffix of a pickle"),
    "code": ({"modeling_evil.py": b"import os"}, "modeling_evil.py is code"),
    "compiled code": ({"evil.so": b"\x7fELF"}, "evil.so is code"),
    "auto_map": (
        {"config.json": json.dumps(CONFIG | {"auto_map": {"AutoModel": "evil--x.Y"}}).encode()},
        "config.json has auto_map",
    ),
    "auto_map nested in lists of another file": (
        {"processor/any.json": b'[{"b": {"auto_map": {"AutoTokenizer": ["evil.T", null]}}}]'},
        "processor/any.json has auto_map",
    ),
    "auto_map behind an escaped key": (
        {"tokenizer_config.json": rb'{"auto\u005fmap": {"AutoTokenizer": ["evil.T", null]}}'},
        "tokenizer_config.json has auto_map",
    ),
    "auto_map that a repeated key hides": (
        {"tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": "evil.T"}, "auto_map": null}'},
        "tokenizer_config.json has auto_map",
    ),
    "a pipeline of its own": (
        {"config.json": json.dumps(CONFIG | {"custom_pipelines": {"x": {}}}).encode()},
        "config.json has custom_pipelines",
    ),
    "a shard outside of the folder": (
        {INDEX: index_naming("../../secrets/model.safetensors")},
        "names '../../secrets/model.safetensors'",
    ),
    "a shard by absolute path": ({INDEX: index_naming("/etc/passwd")}, "names '/etc/passwd'"),
    "an index that is none": ({INDEX: b"[]"}, "has no weight_map"),
    "a shard that is no text": ({INDEX: b'{"weight_map": {"a": 1}}'}, "has no weight_map"),
    "JSON that is deeper than the parser goes": (
        {"deep.json": b"[" * 200_000 + b"]" * 200_000},
        "deep.json is not JSON",
    ),
    "JSON that is not JSON": ({"config.json": b"{"}, "config.json is not JSON"),
    "weights that are too short": ({"model.safetensors": b"1234"}, "is not a safetensors file"),
    "a header longer than the file": (
        {"model.safetensors": (1 << 40).to_bytes(8, "little") + b"{}"},
        "is not a safetensors file",
    ),
    "a header that is no JSON": (
        {"model.safetensors": (4).to_bytes(8, "little") + b"nope"},
        "header that is not JSON",
    ),
    "a header that is a list": (
        {"model.safetensors": (2).to_bytes(8, "little") + b"[]"},
        "header that is not an object",
    ),
    "tensors that overlap": (
        {"model.safetensors": safetensors({"a": tensor(0, 4), "b": tensor(2, 6)}, b"123456")},
        "overlap or leave gaps",
    ),
    "a gap for something hidden": (
        {"model.safetensors": safetensors({"a": tensor(0, 2), "b": tensor(4, 6)}, b"123456")},
        "overlap or leave gaps",
    ),
    "something behind the weights": (
        {"model.safetensors": WEIGHTS + b"tail"},
        "is cut short or padded",
    ),
    "weights cut short": ({"model.safetensors": WEIGHTS[:-1]}, "is cut short or padded"),
    "an offset that is no number": (
        {"model.safetensors": safetensors({"a": tensor(0, 2) | {"data_offsets": [0, "2"]}}, b"12")},
        "has a malformed tensor",
    ),
    "no architecture": ({"config.json": b'{"max_position_embeddings": 5}'}, "no architecture"),
    "no context limit": ({"config.json": b'{"architectures": ["X"]}'}, "no context limit"),
    "a config that is a list": ({"config.json": b"[]"}, "no architecture"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_a_folder_that_could_harm_is_refused_and_says_why(folder_of: FolderOf, case: str) -> None:
    files, said = MALICIOUS[case]
    problems = problems_of(folder_of(GOOD | files))
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize("missing", GOOD)
def test_a_folder_without_a_needed_file_is_refused(folder_of: FolderOf, missing: str) -> None:
    files = {path: content for path, content in GOOD.items() if path != missing}
    assert len(problems_of(folder_of(files))) == 1


def test_links_in_a_folder_are_refused_wherever_they_lead(
    tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of(GOOD)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../")
    assert problems_of(folder)[:2] == ["config.json is a link", "up is a link"]
    link = tmp_path / "link"
    link.symlink_to(folder_of(GOOD))
    assert "link is not a folder" in problems_of(link)


def test_all_faults_are_listed_at_once(folder_of: FolderOf) -> None:
    folder = folder_of({"config.json": b'{"auto_map": {}}', "x.py": b"", "y.pt": b""})
    assert len(problems_of(folder)) == 7


async def test_an_import_is_one_version_however_often_it_is_asked_for(
    bus: Bus, store: FolderStore, following: Following, tiny: Path
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    first = await import_model(bus, store, tiny, tenant="shared", name="tiny-llama")
    again = await import_model(bus, store, tiny, tenant="shared", name="tiny-llama")
    other = await import_model(bus, store, tiny, tenant="acme", name="tiny-llama")
    announced = await bus.last(MODEL_READY, ModelReady)
    assert announced is not None
    await models.wait_for(announced.sequence, timeout=10)

    assert again.version_id == first.version_id == first.base_version_id
    assert other.version_id != first.version_id
    assert announced.sequence == 2
    listed = models.get("acme", first.version_id)
    assert listed == first
    assert (listed.form, listed.context_tokens) == ("safetensors", 256)
    manifest = store.manifest(listed.digest)
    assert manifest.attributes == {"architecture": "LlamaForCausalLM", "context_tokens": 256}
    assert listed.size_bytes == manifest.size_bytes
    made = store.materialise(listed.digest)
    assert (made / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


async def test_a_refused_import_stores_and_announces_nothing(
    bus: Bus, store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of(GOOD | {"evil.py": b""})
    for tenant, name, where in (
        ("acme", "m", folder),
        ("acme", "../m", folder_of(GOOD)),
        ("a.b", "m", folder_of(GOOD)),
    ):
        with pytest.raises(InvalidInputError):
            await import_model(bus, store, where, tenant=tenant, name=name)
    assert await bus.last_sequence("MODELS") == 0
    assert not list((tmp_path / "store" / "manifests").iterdir())
