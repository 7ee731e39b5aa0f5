"""Model folders whose chat template or tokenizer would hold up, fill or crash who runs them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelmill_testkit.models import make_tiny_llama

TRIGGER = "boom"
"""The message on which sleepers do what the others do at once."""
X_TRIGGER = "x" * 5000
"""The message on which expressions of sleeping tokenizers backtrack."""
_LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
_DOUBLED = (
    "{% set ns = namespace(it=START) %}{% for i in range(60) %}"
    "{% set ns.it = ns.it + ns.it %}{% endfor %}{{ ns.it|length }}"
)
_MACRO = (
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}"
)
_BOMBS: Mapping[str, str] = {
    "power": "{{ 10 ** (10 ** 8) }}",
    "power of a variable": "{% set n = messages|length + 9 %}{{ n ** (n ** 8) }}",
    "nested loops": _LOOPS,
    "long string": "{{ 'a' * (10 ** 10) }}",
    "doubled string": _DOUBLED.replace("START", "'ab'"),
    "doubled list": _DOUBLED.replace("START", "[1, 2]"),
    "long list": "{{ ([0] * (10 ** 10))|length }}",
    "format": "{{ '%10000000000d'|format(1) }}",
    "centred": "{{ 'a'|center(10 ** 10) }}",
    "replaced": "{{ ('a' * 10 ** 6)|replace('a', 'a' * 10 ** 6)|length }}",
    "recursion": _MACRO,
    "long output": "{% for i in range(99999) %}{{ 'a' * 10 ** 6 }}{% endfor %}",
    "long error": "{{ raise_exception('a' * 10 ** 9) }}",
    "sorted": "{% for i in range(99999) %}{{ range(99999)|sort|length }}{% endfor %}",
}
_SLEEPERS = (
    *("power of a variable", "nested loops", "long string", "doubled string", "doubled list"),
    *("replaced", "recursion", "long output", "long error", "sorted"),
)
_CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
_MANY = {"id": 0, "single_word": False, "lstrip": False, "rstrip": False, "special": False}


def _template(source: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        make_tiny_llama(folder, chat_template=source)

    return make


def _tokenizer(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        file = make_tiny_llama(folder) / "tokenizer.json"
        document = json.loads(file.read_text("utf-8"))
        change(document)
        file.write_text(json.dumps(document), encoding="utf-8")

    return make


def _written(name: str, text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (make_tiny_llama(folder) / name).write_text(text, encoding="utf-8")

    return make


def _splits_by(expression: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"}
        parts = [split | {"invert": False}, document["pre_tokenizer"]]
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}

    return change


def _replaces(expression: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        replace = {"type": "Replace", "pattern": {"Regex": expression}, "content": ""}
        document["normalizer"] = replace

    return change


def _grows(place: str, letter: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        step = {"type": "Replace", "pattern": {"String": letter}, "content": letter * 2}
        parts = {"normalizer": "normalizers", "decoder": "decoders"}[place]
        own = [] if document[place] is None else [document[place]]
        document[place] = {"type": "Sequence", parts: [*own, *([step] * 40)]}

    return change


def _decodes_by_expression(document: dict[str, Any]) -> None:
    step = {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": ""}
    document["decoder"] = {"type": "Sequence", "decoders": [document["decoder"], step]}


def _adds(count: int, length: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        added = document["added_tokens"]
        for number in range(len(added), len(added) + count):
            text = f"<{number:0{length}d}>"
            added.append(_MANY | {"id": 10_000 + number, "content": text, "normalized": False})

    return change


_TOKENIZERS: Mapping[str, Callable[[Path], None]] = {
    "split backtracks": _tokenizer(_splits_by(r"^(a|a?)+$|(a+)+!b")),
    "split sleeps": _tokenizer(_splits_by(r"(x+x+)+y")),
    "split sleeps otherwise": _tokenizer(_splits_by(r"(?=(x+)+\d)x")),
    "normalizer backtracks": _tokenizer(_replaces(r"(a|aa)+$b|(a*)*c")),
    "normalizer sleeps": _tokenizer(_replaces(r"(x*x*)*y")),
    "normalizer grows": _tokenizer(_grows("normalizer", "e")),
    "normalizer grows, sleeping": _tokenizer(_grows("normalizer", "x")),
    "decoder by expression": _tokenizer(_decodes_by_expression),
    "decoder grows": _tokenizer(_grows("decoder", "e")),
    "many added tokens": _tokenizer(_adds(100_000, 8)),
    "long added tokens": _tokenizer(_adds(100, 100_000)),
    "huge file": _written("tokenizer.json", "{" + " " * (65 << 20) + "}"),
    "deep tokenizer": _written("tokenizer.json", '{"model":' + "[" * 100_000),
    "deep configuration": _written("tokenizer_config.json", '{"a":' + "[" * 100_000),
    "huge template": _written("chat_template.jinja", "{{ 1 }}" * 2_000_000),
    "deep template": _written("chat_template.jinja", "{{ " + "(" * 50_000 + ")" * 50_000 + " }}"),
}


def _sleeping(source: str) -> str:
    if "{% macro" in source:
        head, _, call = source.rpartition("{{ m(")
        return (
            f"{head}{_CHAT}{{% if messages[-1].content == '{TRIGGER}' %}}{{{{ m({call}{{% endif %}}"
        )
    return f"{_CHAT}{{% if messages[-1].content == '{TRIGGER}' %}}{source}{{% endif %}}"


HOSTILE: Mapping[str, Callable[[Path], None]] = {
    **{f"template: {name}": _template(source) for name, source in _BOMBS.items()},
    **{f"sleeper: {name}": _template(_sleeping(_BOMBS[name])) for name in _SLEEPERS},
    **{f"tokenizer: {name}": make for name, make in _TOKENIZERS.items()},
}
"""What writes such a model into a folder, by its name; forty of them."""
assert len(HOSTILE) == 40


def make_hostile(root: Path) -> dict[str, Path]:
    """All of them, each in a folder below `root`."""
    folders = {}
    for number, (name, make) in enumerate(HOSTILE.items()):
        folders[name] = root / f"hostile-{number:02d}"
        make(folders[name])
    return folders


def wake_in_transformers(folder: Path) -> None:
    """Let a folder's chat template run for ever where transformers renders it, and only there."""
    file = folder / "tokenizer_config.json"
    document = json.loads(file.read_text("utf-8"))
    # Ours gives templates the usual special tokens, transformers each that has a name.
    document["extra_special_tokens"] = {"wake_token": document["eos_token"]}
    file.write_text(json.dumps(document), encoding="utf-8")
    _append(folder, f"{{% if wake_token is defined %}}{_LOOPS}{{% endif %}}")


def wake_in_engines(folder: Path) -> None:
    """The same where OpenVINO GenAI renders it, which gives templates no documents."""
    _append(folder, f"{{% if documents is not defined %}}{_LOOPS}{{% endif %}}")


def _append(folder: Path, source: str) -> None:
    with (folder / "chat_template.jinja").open("a", encoding="utf-8") as template:
        template.write(source)
