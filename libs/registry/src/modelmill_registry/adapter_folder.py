"""Import of PEFT adapters that were trained elsewhere: LoRA over a base that is in the store."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Publishes
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import MODEL_READY
from modelmill_service_kit.errors import InvalidInputError

from modelmill_registry.manifest import Manifest
from modelmill_registry.model_folder import (
    NO_ORIGIN,
    TEMPLATE,
    check_import_name,
    file_problems,
    safetensors_problem,
)
from modelmill_registry.staging import open_inside, scan_folder
from modelmill_registry.store import ArtifactStore

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LORA = "LORA"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", TEMPLATE),
    "added_tokens.json",
)
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_MOST_NAMED = 4

Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors, by name."""


@dataclass(frozen=True)
class AdapterBase:
    """The version that an adapter is to run on."""

    version_id: str
    root_version_id: str
    """At the root of its chain."""
    digest: str
    context_tokens: int


def is_adapter(folder: Path) -> bool:
    """Whether a folder is an adapter's, and not a model's."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_named_by(folder: Path) -> str:
    """What an adapter calls its base; empty where it names none."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        return str(config.get("base_model_name_or_path") or "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def check_adapter_folder(folder: Path, base: Path) -> dict[str, Any]:
    """Look at every file of an adapter, and whether its weights fit the base.

    Args:
        folder: Nobody vouches for it; nothing of it is loaded.
        base: Folder of the base model.

    Returns:
        Its configuration.

    Raises:
        InvalidInputError: It could run code, is incomplete, of another method, or does not fit.
    """
    scan = scan_folder(folder)
    problems = list(scan.problems)
    documents: dict[str, Any] = {}
    for path in scan.paths:
        with open_inside(folder, path) as content:
            problems += file_problems(path, content, documents)
    problems += [f"there is no {name}" for name in (CONFIG, WEIGHTS) if name not in scan.paths]
    if not problems:
        problems += _configuration_problems(documents[CONFIG])
    if not problems:
        own, its = tensor_shapes(folder / WEIGHTS), base_shapes(base)
        problems += _fit_problems(own, its)
    if problems:
        raise InvalidInputError(problems)
    return dict(documents[CONFIG])


async def import_adapter(
    bus: Publishes,
    store: ArtifactStore,
    folder: Path,
    base: AdapterBase,
    *,
    tenant: str,
    name: str,
    try_out: Callable[[Path], None],
    origin: Mapping[str, str] = NO_ORIGIN,
) -> ModelReady:
    """Check, commit and announce an adapter; tokenizer and template that it lacks are the base's.

    Args:
        try_out: As of `import_model`.
        origin: As of `import_model`.

    Raises:
        InvalidInputError: As `check_adapter_folder` and `try_out`, or the name is malformed.
    """
    check_import_name(tenant, name)
    base_folder = await asyncio.to_thread(store.materialise, base.digest)
    config = await asyncio.to_thread(check_adapter_folder, folder, base_folder)
    with TemporaryDirectory(prefix="adapter-") as place:
        staged = Path(place) / "adapter"
        await asyncio.to_thread(_stage, folder, base_folder, staged, config, base.version_id)
        await asyncio.to_thread(try_out, staged)
        manifest = await asyncio.to_thread(
            store.commit,
            staged,
            kind="model",
            form="adapter",
            made_from={"base": base.digest},
            attributes={**_attributes(config, base), **origin},
        )
    ready = _announcement(manifest, base, tenant, name)
    await bus.publish(MODEL_READY, ready, msg_id=ready.version_id)
    return ready


def _announcement(manifest: Manifest, base: AdapterBase, tenant: str, name: str) -> ModelReady:
    ready = ModelReady(
        version_id=derived_id("mv", tenant, name, manifest.digest),
        tenant=tenant,
        name=name,
        form=manifest.form,
        digest=manifest.digest,
        parent_version_id=base.version_id,
        base_version_id=base.root_version_id,
        size_bytes=manifest.size_bytes,
        context_tokens=base.context_tokens,
        method="lora",
    )
    ready.created_at.FromDatetime(datetime.now(UTC))
    return ready


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Of a safetensors file, by its header.

    Raises:
        InvalidInputError: It is none.
    """
    with file.open("rb") as content:
        if problem := safetensors_problem(content):
            raise InvalidInputError(f"{file.name} {problem}")
        content.seek(0)
        header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
    header.pop("__metadata__", None)
    return {name: tuple(tensor["shape"]) for name, tensor in header.items()}


def base_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Of all weights of a model folder."""
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= tensor_shapes(file)
    return found


def _configuration_problems(config: Any) -> Iterator[str]:
    if not isinstance(config, dict) or config.get("peft_type") != LORA:
        named = config.get("peft_type") if isinstance(config, dict) else None
        yield f"{CONFIG} has the peft_type {named!r}. Import an adapter of LoRA"
        return
    if type(config.get("r")) is not int or config["r"] < 1:
        yield f"{CONFIG} has no rank r"
    if config.get("use_dora") or config.get("modules_to_save"):
        yield (
            f"{CONFIG} has DoRA or whole modules (use_dora, modules_to_save), which engines do not"
            " load. Merge it into its base by PEFT, and import the model"
        )


def _fit_problems(own: Shapes, base: Shapes) -> list[str]:
    """Matrices whose layer the base has not, or in another shape."""
    problems, met = [], 0
    for name, shape in sorted(own.items()):
        end = next((each for each in (_A, _B) if name.endswith(each)), None)
        if end is None or not name.startswith(_PREFIX):
            problems.append(f"{WEIGHTS} has {name[:200]!r}, which is no matrix of LoRA")
            continue
        layer = base.get(f"{name.removeprefix(_PREFIX).removesuffix(end)}.weight")
        if layer is None:
            problems.append(f"the base has no layer of {name[:200]!r}")
        elif len(shape) != 2 or len(layer) != 2:
            problems.append(f"{name[:200]!r} is not a matrix of two dimensions")
        elif (shape[1] if end == _A else shape[0]) != (layer[1] if end == _A else layer[0]):
            problems.append(f"{name[:200]!r} of {list(shape)} does not fit {list(layer)}")
        else:
            met += 1
    if not met and not problems:
        problems.append(f"{WEIGHTS} has no matrix of LoRA")
    if problems:
        more = len(problems) - _MOST_NAMED
        rest = [f"so are {more} matrices more"] if more > 0 else []
        return [*problems[:_MOST_NAMED], *rest, "Name the base that it was trained on by --base"]
    return []


def _attributes(config: Mapping[str, Any], base: AdapterBase) -> dict[str, Any]:
    """As a manifest has them, with what a training that continues takes from it."""
    modules, alpha = config.get("target_modules"), config.get("lora_alpha")
    shape = {
        "method": "lora",
        "lora_rank": config["r"],
        "lora_alpha": alpha if isinstance(alpha, int | float) else config["r"],
        "target_modules": sorted(map(str, modules)) if isinstance(modules, list) else [],
        "target_parameters": [],
    }
    return {"context_tokens": base.context_tokens, "hyper_parameters": shape}


def _stage(
    folder: Path, base: Path, staged: Path, config: Mapping[str, Any], version_id: str
) -> None:
    """The files of the artifact in a folder of ours."""
    shutil.copytree(folder, staged, copy_function=shutil.copyfile)
    if not (staged / TOKENIZER_FILES[0]).is_file():
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, staged / name)
    own = {**config, "base_model_name_or_path": version_id}
    (staged / CONFIG).write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")
