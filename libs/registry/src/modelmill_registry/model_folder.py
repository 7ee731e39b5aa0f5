"""Import of Hugging Face model folders: safetensors and JSON only, no code."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeGuard

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Publishes
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import MODEL_READY, token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_registry.manifest import Manifest
from modelmill_registry.staging import open_inside, scan_folder
from modelmill_registry.store import ArtifactStore
from modelmill_registry.unsafe_content import (
    MAX_TEMPLATE_CHARS,
    template_problems,
    template_texts,
    unsafe_reason,
)

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_MAX_DIMENSIONS = 64
_LARGEST = 1 << 63
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Types of whole bytes; the format also has some of half a byte and less, which are not counted."""


def safetensors_problem(content: BinaryIO) -> str | None:
    """Why this is not a whole safetensors file, or None when it is.

    Args:
        content: Seekable, at its start; only the header is read.
    """
    content.seek(0, 2)
    size = content.tell()
    content.seek(0)
    length = int.from_bytes(content.read(8), "little")
    if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        return "is not a safetensors file"
    try:
        header = json.loads(content.read(length))
    except (ValueError, RecursionError):
        return "has a safetensors header that is not JSON"
    if not isinstance(header, dict):
        return "has a safetensors header that is not an object"
    header.pop("__metadata__", None)
    try:
        spans = sorted(_span(tensor) for tensor in header.values())
    except (KeyError, TypeError, ValueError):
        return "has a malformed tensor in its safetensors header"
    end = 0
    for start, stop in spans:
        if start != end or stop < start:
            return "has tensors that overlap or leave gaps"
        end = stop
    if end != size - 8 - length:
        return f"is cut short or padded: tensors of {end} bytes, {size - 8 - length} are there"
    return None


def _span(tensor: dict[str, object]) -> tuple[int, int]:
    """Where a tensor's bytes lie.

    Raises:
        KeyError, TypeError, ValueError: The entry is malformed.
    """
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not isinstance(tensor["dtype"], str) or not _naturals(shape) or not _naturals(offsets):
        raise ValueError
    start, stop = offsets
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError
    items, item_bytes = math.prod(shape), _ITEM_BYTES.get(tensor["dtype"])
    if (items == 0 and start != stop) or (item_bytes and items * item_bytes != stop - start):
        raise ValueError
    return start, stop


def _naturals(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < _LARGEST for value in values
    )


_MAX_JSON_BYTES = 128 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MAX_TEMPLATE_BYTES = 4 * MAX_TEMPLATE_CHARS
_CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "auto_mapping", "trust_remote_code"})
"""Keys by which transformers and PEFT import code that a model folder names."""
_KERNEL_KEYS = frozenset({"attn_implementation", "experts_implementation"})
"""Keys by which transformers loads kernels, code of a hub's repository that is written org/name."""
_HARMLESS = (None, False)
"""Values of such a key that import nothing."""
_OTHER_WEIGHTS = frozenset({".bin", ".h5", ".hdf5", ".keras", ".ot", ".nemo", ".mar"})
"""Weights of other frameworks, some of which carry code."""
_ARCHIVES = frozenset({".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".zip"})
TEMPLATE, _TOKENIZER_CONFIG = "chat_template.jinja", "tokenizer_config.json"
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


NO_ORIGIN: Mapping[str, str] = {}
NO_TEMPLATE = (
    "the folder has no chat template, so that chats and training on conversations will be refused. "
    "Add its chat_template.jinja and import it again, or use completions and objective text."
)


@dataclass(frozen=True)
class ModelFolder:
    """Facts of a checked model folder."""

    architecture: str
    """Class name in transformers, for example "LlamaForCausalLM"."""
    context_tokens: int
    """Most tokens of prompt and answer together."""
    size_bytes: int
    """Bytes of all files."""
    warnings: tuple[str, ...] = ()
    """What it cannot do, and the remedy."""

    @property
    def attributes(self) -> dict[str, Any]:
        """As a manifest has them."""
        return {"architecture": self.architecture, "context_tokens": self.context_tokens}


def check_model_folder(folder: Path) -> ModelFolder:
    """Look at every file of a folder that nobody vouches for; nothing of it is loaded.

    Raises:
        InvalidInputError: It could run code, leaves its folder, or is incomplete; all is listed.
    """
    scan = scan_folder(folder)
    problems = list(scan.problems)
    documents: dict[str, Any] = {}
    size_bytes = 0
    for path in scan.paths:
        try:
            with open_inside(folder, path) as content:
                problems += file_problems(path, content, documents)
                size_bytes += content.seek(0, 2)
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror or error})")
    weights = {path for path in scan.paths if path.endswith(".safetensors")}
    if not weights:
        problems.append("there is no .safetensors file")
    problems += [
        f"there is no {name}"
        for name in ("config.json", "tokenizer.json")
        if name not in scan.paths
    ]
    problems += _index_problems(documents, weights)
    config = documents.get("config.json", {})
    architecture, context_tokens = _architecture(config), context_tokens_of(config)
    if "config.json" in documents and not architecture:
        problems.append("config.json names no architecture")
    if "config.json" in documents and not context_tokens:
        problems.append(f"config.json has no context limit ({' or '.join(_CONTEXT_KEYS)})")
    if problems:
        raise InvalidInputError(problems)
    has_template = TEMPLATE in scan.paths or bool(template_texts(documents.get(_TOKENIZER_CONFIG)))
    warnings = () if has_template else (NO_TEMPLATE,)
    return ModelFolder(architecture, context_tokens, size_bytes, warnings)


async def import_model(
    bus: Publishes,
    store: ArtifactStore,
    folder: Path,
    *,
    tenant: str,
    name: str,
    try_out: Callable[[Path], None],
    origin: Mapping[str, str] = NO_ORIGIN,
) -> ModelReady:
    """Check, commit and announce a folder; the same content, tenant and name is one version.

    Args:
        try_out: runs what of the folder is code, within limits, and refuses what does not work:
            `modelmill_tokenization.bounded.here.try_tokenizer`.
        origin: `source`, `revision` and `licence` of what a hub gave; kept in the manifest.

    Raises:
        InvalidInputError: As `check_model_folder` and `try_out`, or the name or tenant is
            malformed.
        UnavailableError: The bus is away; the content is stored, repeat to announce it.
    """
    check_import_name(tenant, name)
    checked = await asyncio.to_thread(check_model_folder, folder)
    await asyncio.to_thread(try_out, folder)
    manifest = await asyncio.to_thread(
        store.commit,
        folder,
        kind="model",
        form="safetensors",
        attributes={**checked.attributes, **origin},
    )
    ready = _announcement(manifest, checked, tenant, name)
    await bus.publish(MODEL_READY, ready, msg_id=ready.version_id)
    return ready


def check_import_name(tenant: str, name: str) -> None:
    """Refuse what a version cannot be called.

    Raises:
        InvalidInputError: The tenant or the name is malformed.
    """
    token(tenant, "tenant")
    if not _NAME.fullmatch(name):
        raise InvalidInputError(f"name must be 1 to 63 of A-Z a-z 0-9 . _ -, not {name[:80]!r}")


def _announcement(manifest: Manifest, checked: ModelFolder, tenant: str, name: str) -> ModelReady:
    version_id = derived_id("mv", tenant, name, manifest.digest)
    ready = ModelReady(
        version_id=version_id,
        tenant=tenant,
        name=name,
        form=manifest.form,
        digest=manifest.digest,
        base_version_id=version_id,
        size_bytes=manifest.size_bytes,
        context_tokens=checked.context_tokens,
    )
    ready.created_at.FromDatetime(datetime.now(UTC))
    return ready


def file_problems(path: str, content: BinaryIO, documents: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one file; a JSON document is kept in `documents`."""
    reason = unsafe_reason(path, content, kind="model")
    if reason:
        yield f"{path} {reason}"
        return
    lowered = path.lower()
    suffix = PurePosixPath(lowered).suffix
    if suffix in _OTHER_WEIGHTS:
        yield f"{path} has the suffix of other weights ({suffix}); only safetensors are taken"
    elif suffix in _ARCHIVES:
        yield f"{path} is an archive ({suffix}), whose content nobody has looked at"
    elif suffix in (".jinja", ".j2"):
        yield from _templatefile_problems(path, content)
    elif lowered.endswith(".safetensors"):
        problem = safetensors_problem(content)
        if problem:
            yield f"{path} {problem}"
    elif lowered.endswith(".json"):
        yield from _json_problems(path, content, documents)


def _json_problems(path: str, content: BinaryIO, documents: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a JSON file, keys that name code at any depth included."""
    if content.seek(0, 2) > _MAX_JSON_BYTES:
        yield f"{path} is larger than {_MAX_JSON_BYTES} bytes"
        return
    content.seek(0)
    found: set[str] = set()

    def note_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Sees every pair, also the first of a repeated key that a dict would have lost.
        found.update(key for key, value in pairs if _names_code(key, value))
        return dict(pairs)

    try:
        document = json.loads(content.read(), object_pairs_hook=note_keys)
    except json.JSONDecodeError as error:
        yield f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        return
    except (ValueError, RecursionError):
        yield f"{path} is not JSON"
        return
    documents[path] = document
    for key in sorted(found):
        yield f"{path} has {key}, which makes a loader run code"
    for text in template_texts(document):
        yield from (f"{path}: its chat template {why}" for why in template_problems(text))


def _names_code(key: str, value: Any) -> bool:
    if key.strip("_").removesuffix("_internal") in _KERNEL_KEYS:
        return "/" in str(value)
    return key in _CODE_KEYS and value not in _HARMLESS


def _templatefile_problems(path: str, content: BinaryIO) -> Iterator[str]:
    content.seek(0)
    try:
        source = content.read(_MAX_TEMPLATE_BYTES + 1).decode()
    except UnicodeDecodeError:
        yield f"{path} is not UTF-8 text"
        return
    yield from (f"{path} {why}" for why in template_problems(source))


def _index_problems(documents: dict[str, Any], weights: set[str]) -> Iterator[str]:
    """Shards that an index names and the folder has not, or that lie outside of it."""
    for path, document in sorted(documents.items()):
        if not path.endswith(".index.json"):
            continue
        shards = document.get("weight_map") if isinstance(document, dict) else None
        if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
            yield f"{path} has no weight_map of file names"
            continue
        prefix = path.rpartition("/")[0]
        for shard in sorted(set(shards.values())):
            if (f"{prefix}/{shard}" if prefix else shard) not in weights:
                yield f"{path} names {shard!r}, which is no safetensors file of the folder"


def _architecture(config: Any) -> str:
    names = config.get("architectures") if isinstance(config, dict) else None
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def context_tokens_of(config: Any) -> int:
    """Most tokens of prompt and answer, by config.json or its part on the text model; else 0."""
    if not isinstance(config, dict):
        return 0
    limits = [config.get(key) for key in _CONTEXT_KEYS]
    found = [limit for limit in limits if type(limit) is int and limit > 0]
    return found[0] if found else context_tokens_of(config.get("text_config"))
