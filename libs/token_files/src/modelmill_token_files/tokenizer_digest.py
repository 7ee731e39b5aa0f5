"""Tokenizer digest: equal for model folders that encode conversations alike."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reads = Callable[[str], bytes]
"""The content of a model's file by its name; empty where it has none."""

ENCODING = 1
"""Another one whenever the same tokenizer and the same row may give other ids or other masks."""

_TOKENIZER = "tokenizer.json"
_FILES = (_TOKENIZER, "chat_template.jinja", "additional_chat_templates/tool_use.jinja")
_CONFIG = "tokenizer_config.json"


def tokenizer_digest(folder: Path) -> str:
    """ "sha256:<hex>" over all that decides token ids: tokenizer, chat templates, named tokens.

    What else a configuration says (paths, classes, limits) does not count, so that a copy saved by
    another version of a library still is the same tokenizer.

    Raises:
        OSError: a file cannot be read; one that a folder need not have may be missing.
        ValueError: tokenizer_config.json is not JSON.
    """
    return _digest(files_of(folder))


def reads_alike(one: Reads, other: Reads) -> bool:
    """Whether the ids of one model mean the same to another: alike but for the post-processor.

    That adds tokens around a text, and texts are encoded without it here.

    Raises:
        ValueError: a tokenizer is not JSON.
    """
    return _digest(one) == _digest(other) or _digest(_encoder(one)) == _digest(_encoder(other))


def files_of(folder: Path) -> Reads:
    """Reads a local folder's."""

    def read(name: str) -> bytes:
        path = folder / name
        return path.read_bytes() if path.is_file() else b""

    return read


def _encoder(read: Reads) -> Reads:
    """The same files, with a tokenizer that has no post-processor."""

    def without(name: str) -> bytes:
        content = read(name)
        if name != _TOKENIZER or not content:
            return content
        document = json.loads(content)
        if not isinstance(document, dict):
            return content
        return json.dumps(document | {"post_processor": None}).encode()

    return without


def _digest(read: Reads) -> str:
    whole = hashlib.sha256(f"encoding {ENCODING}\n".encode())
    for name in _FILES:
        content = read(name)
        # With its length, so that no byte can move from one file to the next unnoticed.
        whole.update(f"{name} {len(content)}\n".encode() + content)
    whole.update(json.dumps(_named(read(_CONFIG)), sort_keys=True).encode())
    return f"sha256:{whole.hexdigest()}"


def _named(content: bytes) -> dict[str, Any]:
    """The part of the configuration that a rendering depends on."""
    config = json.loads(content) if content else {}
    if not isinstance(config, dict):
        raise ValueError(f"{_CONFIG} is not a JSON object")
    wanted = {name: value for name, value in config.items() if name.endswith("_token")}
    tokens = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in wanted.items()
    }
    texts = {name: value for name, value in tokens.items() if isinstance(value, str)}
    return texts | {"chat_template": config.get("chat_template")}
