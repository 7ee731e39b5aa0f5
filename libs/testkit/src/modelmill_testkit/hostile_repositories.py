"""Repositories of a hub that nobody should load, each with the reason by which it is refused."""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelmill_testkit.hub_files import HubFile

Files = dict[str, bytes | HubFile]

LARGE = 64 << 10
"""Bytes of weights, more than a hub keeps in git itself."""


def _and(path: str, content: bytes | HubFile) -> Callable[[Files], Files]:
    return lambda files: {**files, path: content}


def _instead(path: str, content: bytes | HubFile) -> Callable[[Files], Files]:
    """Other weights under another name."""
    return lambda files: {
        **{name: each for name, each in files.items() if not name.endswith(".safetensors")},
        path: content,
    }


def _changed(path: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Files], Files]:
    def make(files: Files) -> Files:
        held = files[path]
        assert isinstance(held, bytes)
        document = json.loads(held)
        change(document)
        return {**files, path: json.dumps(document).encode()}

    return make


def _weights(**told: Any) -> Callable[[Files], Files]:
    """The weights, of which the hub tells something else."""

    def make(files: Files) -> Files:
        held = files["model.safetensors"]
        assert isinstance(held, bytes)
        given = {name: it(held) if callable(it) else it for name, it in told.items()}
        return {**files, "model.safetensors": HubFile(**{"content": held, **given})}

    return make


def _names_code(document: dict[str, Any]) -> None:
    document["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.EvilModel"}


def _names_code_deep(document: dict[str, Any]) -> None:
    document["text_config"] = {"auto_map": {"AutoConfig": "evil--config.Evil"}}


def _longer(content: bytes) -> bytes:
    return content + bytes(LARGE)


_PICKLE = pickle.dumps({"weight": [1.0] * 4096})
_HUGE_HEADER = (1 << 62).to_bytes(8, "little") + bytes(LARGE)
_LINK = b"../../../../../../etc/passwd"
"""A link in git is a small file with its target in it."""
_OUTSIDE = json.dumps({"weight_map": {"x": "../../outside.safetensors"}}).encode()
_REACHING = b"{{ ''.__class__.__mro__[1].__subclasses__() }}"

HOSTILE_REPOSITORIES: Mapping[str, tuple[str, Callable[[Files], Files]]] = {
    "a path that climbs": ("HUB_UNSAFE_PATH", _and("../../.ssh/authorized_keys", b"x")),
    "an absolute path": ("HUB_UNSAFE_PATH", _and("/etc/cron.d/evil", b"x")),
    "a path with backslashes": ("HUB_UNSAFE_PATH", _and("..\\..\\evil.json", b"x")),
    "a file that is a folder": ("HUB_UNSAFE_PATH", _and("config.json/evil", b"x")),
    "a link instead of weights": ("INVALID_INPUT", _and("model.safetensors", _LINK)),
    "a link instead of a configuration": ("INVALID_INPUT", _and("config.json", _LINK)),
    "more bytes than listed": (
        "HUB_FALSE_SIZE",
        _weights(content=_longer, listed_size=len),
    ),
    "fewer bytes than listed": (
        "HUB_FALSE_SIZE",
        _weights(listed_size=lambda content: len(content) + LARGE),
    ),
    "bytes without an end": ("HUB_FALSE_SIZE", _weights(is_endless=True)),
    "fewer bytes, of no told size": (
        "HUB_FALSE_SIZE",
        _weights(is_unsized=True, listed_size=lambda content: len(content) + LARGE),
    ),
    "another content than listed": ("HUB_FALSE_DIGEST", _weights(listed_digest="0" * 64)),
    "pickles alone": ("HUB_PICKLE_ONLY", _instead("pytorch_model.bin", _PICKLE)),
    "a pickle called safetensors": ("INVALID_INPUT", _and("model.safetensors", _PICKLE)),
    "code in its configuration": ("HUB_REMOTE_CODE", _changed("config.json", _names_code)),
    "code in a part of it": ("INVALID_INPUT", _changed("config.json", _names_code_deep)),
    "code in its tokenizer": ("HUB_REMOTE_CODE", _changed("tokenizer_config.json", _names_code)),
    "an index that leaves the folder": (
        "INVALID_INPUT",
        _and("model.safetensors.index.json", _OUTSIDE),
    ),
    "a header of 4 exabytes": ("INVALID_INPUT", _and("model.safetensors", _HUGE_HEADER)),
    "a configuration without end": ("INVALID_INPUT", _and("config.json", b"[" * 200_000)),
    "a template that reaches out": ("INVALID_INPUT", _and("chat_template.jinja", _REACHING)),
}
"""What makes one of a sound model's files, by name, with the reason of its refusal."""


def hostile_files(name: str, sound: Path) -> Files:
    """The files of a hostile repository, made of a sound model folder."""
    files: Files = {
        str(path.relative_to(sound)): path.read_bytes()
        for path in sorted(sound.rglob("*"))
        if path.is_file()
    }
    return HOSTILE_REPOSITORIES[name][1](files)
