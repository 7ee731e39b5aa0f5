"""Folders of models: a good one, and every way that we know to make one bad."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

CONFIG = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512}


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


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/never",)


def index_naming(shard: str) -> bytes:
    return json.dumps({"weight_map": {"a": shard}}).encode()


def zip_with_a_pickle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Harmful()))
    return buffer.getvalue()


def template_of(source: str) -> bytes:
    return json.dumps({"chat_template": source}).encode()


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
    "torch weights": (
        {"pytorch_model.bin": b"x"},
        "pytorch_model.bin has the suffix of",
    ),
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
    "JSON that is not JSON": (
        {"config.json": b'{"a": 1\n "b": 2}'},
        "config.json is not JSON: Expecting ',' delimiter at line 2, column 2",
    ),
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
    "a zip with a pickle that is called safetensors": (
        {"model.safetensors": zip_with_a_pickle()},
        "model.safetensors is a zip archive",
    ),
    "an archive": ({"extra/weights.tar.gz": b"\x1f\x8b"}, "extra/weights.tar.gz is an archive"),
    "weights with layers of code": (
        {"tf_model.h5": b"x"},
        "tf_model.h5 has the suffix of other weights",
    ),
    "trust in remote code": (
        {"config.json": json.dumps(CONFIG | {"trust_remote_code": True}).encode()},
        "config.json has trust_remote_code",
    ),
    "a shape of another size than its bytes": (
        {"model.safetensors": safetensors({"a": tensor(0, 4) | {"shape": [1 << 40]}}, b"1234")},
        "has a malformed tensor",
    ),
    "a shape that takes minutes to multiply": (
        {"model.safetensors": safetensors({"a": tensor(0, 4) | {"shape": [2**62] * 9999}})},
        "has a malformed tensor",
    ),
    "a template that reaches for a class": (
        {"chat_template.jinja": b"{{ messages.__class__.__mro__ }}"},
        "chat_template.jinja reaches for the attribute __class__, line 1",
    ),
    "a template that reaches by brackets": (
        {"tokenizer_config.json": template_of("\n{{ messages['__init__'] }}")},
        "its chat template reaches for the attribute __init__, line 2",
    ),
    "a template that reaches by filter": (
        {"tokenizer_config.json": template_of("{{ messages|attr('x') }}")},
        "its chat template uses the filter attr",
    ),
    "a template that reads a file": (
        {"additional_chat_templates/tool.jinja": b"{% include '/etc/passwd' %}"},
        "additional_chat_templates/tool.jinja reads another file",
    ),
    "one bad template among named ones": (
        {
            "tokenizer_config.json": json.dumps(
                {
                    "chat_template": [
                        {"name": "default", "template": "{{ messages }}"},
                        {"name": "tool", "template": "{{ messages._private }}"},
                    ]
                }
            ).encode()
        },
        "its chat template reaches for the attribute _private",
    ),
    "a template that is none": (
        {"chat_template.jinja": b"{% if %}"},
        "chat_template.jinja is not a Jinja template: line 1",
    ),
    "a template that is no text": ({"chat_template.jinja": b"\xff\xfe"}, "is not UTF-8"),
    "a template of endless depth": (
        {"chat_template.jinja": b"{{ " + b"(" * 5000 + b")" * 5000 + b" }}"},
        "chat_template.jinja is nested too deeply",
    ),
}
