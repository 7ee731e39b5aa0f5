"""Facts that determine a model folder's prompts, comparable between folders."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelmill_tokenization.chat_tokenizer import (
    ChatTokenizer,
    named_tokens,
    read_json,
    template_source,
    tool_template_source,
)

_DATING = "strftime_now"
"""The function by which a template writes the time."""


@dataclass(frozen=True)
class PromptFacts:
    """Chat templates and special tokens of a folder."""

    template: str
    """ "sha256:<hex>" over the sources of its chat templates, wherever they lie."""
    special_tokens: Mapping[str, int]
    """Text and id of the special tokens that the tokenizer reads as one token."""
    in_pieces: Mapping[str, list[int]]
    """Text and ids of named tokens that it does not: what a template writes with them is no mark
    to the model, and a generation that ends with them does not end."""
    dated: bool
    """Whether a template writes the time, so that it renders otherwise tomorrow."""


def prompt_facts(folder: Path, tokenizer: ChatTokenizer) -> PromptFacts:
    """The facts of a folder whose tokenizer has been loaded.

    Raises:
        InvalidInputError: tokenizer_config.json is missing or is not JSON.
    """
    config = read_json(folder / "tokenizer_config.json")
    sources = [template_source(folder, config), tool_template_source(folder, config)]
    named = set(named_tokens(config).values()) | {tokenizer.end_of_turn} - {""}
    special = {
        tokenizer.token_bytes(token).decode("utf-8", "replace"): token
        for token in tokenizer.special_ids
    }
    texts = sorted(named | special.keys())
    read = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    return PromptFacts(
        template=_digest(sources),
        special_tokens={text: ids[0] for text, ids in read.items() if len(ids) == 1},
        in_pieces={text: ids for text, ids in read.items() if text in named and len(ids) != 1},
        dated=any(_DATING in (source or "") for source in sources),
    )


def _digest(sources: list[str | None]) -> str:
    whole = hashlib.sha256()
    for source in sources:
        text = "none" if source is None else f"{len(source)}\n{source}"
        whole.update(f"{text}\n".encode())
    return f"sha256:{whole.hexdigest()}"
