"""Vocabulary of a GGUF file, from the tokenizer.json of a byte-level BPE tokenizer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Types of tokens, as llama.cpp counts them."""
MODEL = "gpt2"
"""Its name for byte-level BPE."""
SPECIAL = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
"""Part of a key, and the name in tokenizer_config.json."""

_BIG_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = ("ByteLevel", True)
_PRE: Mapping[tuple[Any, ...], str] = {
    (_BYTES,): "gpt-2",
    (("Digits", True), _BYTES): "smollm",
    (("Split", _BIG_SPLIT % "{1,3}"), ("ByteLevel", False)): "llama-bpe",
    (("Split", _BIG_SPLIT % ""), ("ByteLevel", False)): "qwen2",
}
"""How a text is cut before BPE, and llama.cpp's name for that."""
_IGNORES_MERGES = frozenset({"llama-bpe"})
"""Of these llama.cpp takes a piece that is a token for that token, without merges."""


class NoGgufVocabularyError(ValueError):
    """The tokenizer cannot be said in GGUF; the message says why."""


@dataclass(frozen=True)
class Vocabulary:
    """What a file's header says of the tokenizer."""

    pre: str
    """How a text is cut."""
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]
    """Ids, by the part of their key."""
    adds_bos: bool
    chat_template: str = field(repr=False)
    """Empty if there is none."""


def vocabulary_of(
    tokenizer: Mapping[str, Any], names: Mapping[str, str], chat_template: str, size: int
) -> Vocabulary:
    """Read a tokenizer.json.

    Args:
        names: Special tokens by their name in tokenizer_config.json.
        size: Rows of the embedding, which may be more than there are tokens.

    Raises:
        NoGgufVocabularyError: It is of another kind; the message says which.
    """
    try:
        return _read(tokenizer, names, chat_template, size)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise NoGgufVocabularyError(f"its tokenizer.json has another shape ({error!r})") from error


def _read(
    tokenizer: Mapping[str, Any], names: Mapping[str, str], chat_template: str, size: int
) -> Vocabulary:
    model = tokenizer["model"]
    pre = _pre_of(tokenizer)
    ids: dict[str, int] = dict(model["vocab"])
    added_tokens = tokenizer.get("added_tokens") or ()
    most = max([*ids.values(), *(each["id"] for each in added_tokens)], default=0)
    if most >= size:
        raise NoGgufVocabularyError(f"it has more tokens than its embedding has rows ({size})")
    tokens, types = [f"[PAD{token}]" for token in range(size)], [UNUSED] * size
    for text, token in ids.items():
        tokens[token], types[token] = text, NORMAL
    for added in added_tokens:
        ids[added["content"]] = token = added["id"]
        tokens[token] = added["content"]
        types[token] = CONTROL if added["special"] else USER_DEFINED
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    special = {
        part: ids[text] for part, name in SPECIAL.items() if (text := names.get(name, "")) in ids
    }
    return Vocabulary(
        pre,
        tuple(tokens),
        tuple(types),
        tuple(merges),
        special,
        _adds_bos(tokenizer.get("post_processor"), names.get("bos_token", "")),
        chat_template,
    )


def _pre_of(tokenizer: Mapping[str, Any]) -> str:
    model = tokenizer["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise NoGgufVocabularyError(
            f"its tokenizer is {_kind(model)}, and GGUF is written of byte-level BPE alone"
        )
    cuts = tokenizer.get("pre_tokenizer") or {"type": "none"}
    steps = cuts["pretokenizers"] if cuts["type"] == "Sequence" else [cuts]
    pre = _PRE.get(tuple(map(_step, steps)))
    normalizer = (tokenizer.get("normalizer") or {"type": "none"})["type"]
    if pre is None or normalizer not in ("none", "NFC"):
        kinds = ", ".join([normalizer, *(step["type"] for step in steps)])
        raise NoGgufVocabularyError(
            f"its tokenizer cuts texts in a way that llama.cpp has no name for ({kinds})"
        )
    if bool(model.get("ignore_merges")) != (pre in _IGNORES_MERGES):
        raise NoGgufVocabularyError(
            f"its tokenizer merges otherwise than llama.cpp does for {pre!r}"
        )
    return pre


def _kind(model: Mapping[str, Any]) -> str:
    return "BPE with bytes as a fallback" if model["type"] == "BPE" else str(model["type"])


def _step(step: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a step of cutting from another."""
    if step["type"] == "ByteLevel":
        if step.get("add_prefix_space"):
            return ("ByteLevel with a space before",)
        return ("ByteLevel", bool(step.get("use_regex", True)))
    if step["type"] == "Digits":
        return ("Digits", bool(step.get("individual_digits")))
    if step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return ("Split", step["pattern"].get("Regex"))
    return (step["type"], json.dumps(step, sort_keys=True))


def _adds_bos(processor: Mapping[str, Any] | None, bos: str) -> bool:
    """Whether the tokenizer puts the beginning of text before what it encodes."""
    if not processor:
        return False
    steps = processor.get("processors") or [processor]
    for step in steps:
        if step["type"] == "TemplateProcessing" and step["single"]:
            first = step["single"][0].get("SpecialToken")
            return first is not None and first["id"] == bos
    return False
