"""Whether two model folders turn a conversation into the same token ids."""

import hashlib
import json
from pathlib import Path
from typing import Any

ENCODING = 1
"""Another one whenever the same tokenizer and the same row may give other ids or other masks."""

_FILES = ("tokenizer.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja")
_CONFIG = "tokenizer_config.json"


def tokenizer_digest(folder: Path) -> str:
    """ "sha256:<hex>" over all that decides token ids: tokenizer, chat templates, named tokens.

    What else a configuration says (paths, classes, limits) does not count, so that a copy saved by
    another version of a library still is the same tokenizer.

    Raises:
        OSError: a file cannot be read; one that a folder need not have may be missing.
        ValueError: tokenizer_config.json is not JSON.
    """
    whole = hashlib.sha256(f"encoding {ENCODING}\n".encode())
    for name in _FILES:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        # With its length, so that no byte can move from one file to the next unnoticed.
        whole.update(f"{name} {len(content)}\n".encode() + content)
    whole.update(json.dumps(_named(folder / _CONFIG), sort_keys=True).encode())
    return f"sha256:{whole.hexdigest()}"


def _named(path: Path) -> dict[str, Any]:
    """The part of the configuration that a rendering depends on."""
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(config, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    wanted = {name: value for name, value in config.items() if name.endswith("_token")}
    tokens = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in wanted.items()
    }
    texts = {name: value for name, value in tokens.items() if isinstance(value, str)}
    return texts | {"chat_template": config.get("chat_template")}
