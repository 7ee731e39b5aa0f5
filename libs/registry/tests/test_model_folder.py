"""Import of a model folder: a good one is a version, a malicious corpus is refused line by line."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.model_folder import check_model_folder, import_model
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.hostile_models import HOSTILE
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.bounded.here import try_tokenizer
from registry_support.model_folders import GOOD, MALICIOUS, WEIGHTS

FolderOf = Callable[[Mapping[str, bytes]], Path]


class Following(Protocol):
    async def __call__(self, *models: ReadModel) -> None: ...


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


@pytest.mark.parametrize(
    ("files", "warned"),
    [
        ({}, True),
        ({"tokenizer_config.json": b'{"eos_token": "<s>"}'}, True),
        ({"tokenizer_config.json": b'{"chat_template": "{{ messages }}"}'}, False),
        ({"chat_template.jinja": b"{{ messages }}"}, False),
    ],
)
def test_a_folder_without_a_chat_template_is_taken_with_a_warning(
    folder_of: FolderOf, files: dict[str, bytes], warned: bool
) -> None:
    told = check_model_folder(folder_of(GOOD | files)).warnings

    assert bool(told) == warned
    assert all("Add its chat_template.jinja" in each for each in told)


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


@pytest.mark.parametrize("case", MALICIOUS)
def test_a_folder_that_could_harm_is_refused_and_says_why(folder_of: FolderOf, case: str) -> None:
    files, said = MALICIOUS[case]
    problems = problems_of(folder_of(GOOD | files))
    assert any(said in problem for problem in problems), problems


def test_a_header_of_more_than_the_format_allows_is_refused(folder_of: FolderOf) -> None:
    size = 100_000_001
    weights = size.to_bytes(8, "little") + b" " * size
    problems = problems_of(folder_of(GOOD | {"model.safetensors": weights}))
    assert any("is not a safetensors file" in problem for problem in problems), problems


@pytest.mark.parametrize("missing", GOOD)
def test_a_folder_without_a_needed_file_is_refused(folder_of: FolderOf, missing: str) -> None:
    files = {path: content for path, content in GOOD.items() if path != missing}
    assert len(problems_of(folder_of(files))) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['role'] }}: {{ m.content | trim }}{% endfor %}",
        "{% for m in x %}{%- generation -%}{{ m }}{% endgeneration %}{% break %}{% endfor %}",
        "{% set ns = namespace(first=true) %}{{ raise_exception('__no__') }}{{ x | tojson }}",
    ],
)
def test_templates_as_models_have_them_are_taken(folder_of: FolderOf, template: str) -> None:
    config = {"chat_template": template, "trust_remote_code": False}
    files = {"tokenizer_config.json": json.dumps(config).encode()}
    files |= {"chat_template.jinja": template.encode()}
    plain = check_model_folder(folder_of(GOOD))

    taken = check_model_folder(folder_of(GOOD | files))
    assert taken.size_bytes == plain.size_bytes + sum(map(len, files.values()))
    assert taken.context_tokens == plain.context_tokens


def test_a_file_that_cannot_be_read_is_listed_with_the_other_faults(
    folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(GOOD | {"x.py": b""})
    real_open = os.open

    def refuse(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "tokenizer.json":
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    problems = problems_of(folder)
    assert problems == ["tokenizer.json cannot be read (Permission denied)", "x.py is code (.py)"]


def test_links_in_a_folder_are_refused_wherever_they_lead(
    tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of(GOOD)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../")
    problems = problems_of(folder)[:2]
    assert [each.partition(",")[0] for each in problems] == [
        "config.json is a link",
        "up is a link",
    ]
    link = tmp_path / "link"
    link.symlink_to(folder_of(GOOD))
    assert "link is not a folder" in problems_of(link)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_implementation", "evil/kernel"),
        ("_attn_implementation_internal", {"text_config": "evil/kernel@main:layer"}),
        ("_experts_implementation", "evil/kernel"),
    ],
)
def test_kernels_of_a_hub_are_code(folder_of: FolderOf, key: str, value: Any) -> None:
    config = json.loads(GOOD["config.json"])
    check_model_folder(
        folder_of(GOOD | {"config.json": json.dumps(config | {key: "sdpa"}).encode()})
    )

    folder = folder_of(GOOD | {"config.json": json.dumps(config | {key: value}).encode()})
    assert f"config.json has {key}, which makes a loader run code" in problems_of(folder)


def test_all_faults_are_listed_at_once(folder_of: FolderOf) -> None:
    folder = folder_of({"config.json": b'{"auto_map": {}}', "x.py": b"", "y.pt": b""})
    assert len(problems_of(folder)) == 7


async def test_an_import_is_one_version_however_often_it_is_asked_for(
    bus: Bus, folder_store: FolderStore, following: Following, tiny: Path
) -> None:
    models = ModelCatalogue(bus)
    await following(models)
    first = await import_model(
        bus, folder_store, tiny, tenant="shared", name="tiny-llama", try_out=try_tokenizer
    )
    again = await import_model(
        bus, folder_store, tiny, tenant="shared", name="tiny-llama", try_out=try_tokenizer
    )
    other = await import_model(
        bus, folder_store, tiny, tenant="acme", name="tiny-llama", try_out=try_tokenizer
    )
    announced = await bus.last(MODEL_READY, ModelReady)
    assert announced is not None
    await models.wait_for(announced.sequence, timeout=10)

    assert again.version_id == first.version_id == first.base_version_id
    assert other.version_id != first.version_id
    assert announced.sequence == 2
    listed = models.get("acme", first.version_id)
    assert listed == first
    assert (listed.form, listed.context_tokens) == ("safetensors", 256)
    manifest = folder_store.manifest(listed.digest)
    assert manifest.attributes == {"architecture": "LlamaForCausalLM", "context_tokens": 256}
    assert listed.size_bytes == manifest.size_bytes
    made = folder_store.materialise(listed.digest)
    assert (made / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


async def test_a_refused_import_stores_and_announces_nothing(
    bus: Bus, folder_store: FolderStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    folder = folder_of(GOOD | {"evil.py": b""})
    for tenant, name, where in (
        ("acme", "m", folder),
        ("acme", "../m", folder_of(GOOD)),
        ("a.b", "m", folder_of(GOOD)),
    ):
        with pytest.raises(InvalidInputError):
            await import_model(
                bus, folder_store, where, tenant=tenant, name=name, try_out=try_tokenizer
            )
    assert await bus.last_sequence("MODELS") == 0
    assert not list((tmp_path / "store" / "manifests").iterdir())


async def test_a_template_that_does_not_end_is_not_imported(
    bus: Bus, folder_store: FolderStore, tmp_path: Path
) -> None:
    folder = tmp_path / "hostile"
    HOSTILE["template: power"](folder)

    with pytest.raises(InvalidInputError, match="CPU time"):
        await import_model(
            bus, folder_store, folder, tenant="acme", name="m", try_out=try_tokenizer
        )

    assert await bus.last_sequence("MODELS") == 0
    assert not list((tmp_path / "store" / "manifests").iterdir())
