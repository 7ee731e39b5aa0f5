"""Operations of a bounded process on a loaded tokenizer."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from modelmill_service_kit.errors import InvalidInputError
from tokenizers import Tokenizer

from modelmill_tokenization.bounded.frames import packed
from modelmill_tokenization.bounded.limits import (
    MAX_ADDED_TOKENS,
    MAX_OTHER_BYTES,
    MAX_TEXT_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    MAX_TOKENIZER_BYTES,
)
from modelmill_tokenization.bounded.probes import probe
from modelmill_tokenization.chat_tokenizer import TOKENIZER_FILES, ChatTokenizer, read_tokenizer
from modelmill_tokenization.conversations import (
    Conversation,
    ConversationEncoder,
    EncodedConversation,
)
from modelmill_tokenization.prompt_facts import prompt_facts
from modelmill_tokenization.token_decoder import decoding_document


class Answer(NamedTuple):
    """What an operation says: plain JSON, and ids or text as bytes."""

    value: Any = None
    body: bytes = b""


@dataclass
class OpenFolder:
    """A folder whose tokenizer is loaded."""

    folder: Path
    tokenizer: ChatTokenizer
    document: str

    @cached_property
    def conversations(self) -> ConversationEncoder:
        return ConversationEncoder(self.tokenizer)


@dataclass
class ReadFolder:
    """A folder whose tokenizer.json has been read; its template has not been looked at."""

    folder: Path
    tokenizer: Tokenizer
    document: str
    """As `decoding_document`."""


def read_folder(folder: Path) -> ReadFolder:
    """Read `tokenizer.json`.

    Raises:
        InvalidInputError: it cannot be read, is too large, or decodes in steps without bounds.
    """
    for name in TOKENIZER_FILES:
        path = folder / name
        limit = MAX_TOKENIZER_BYTES if name == "tokenizer.json" else MAX_OTHER_BYTES
        if path.is_file() and path.stat().st_size > limit:
            raise InvalidInputError(f"{name} has more than {limit >> 20} MiB, the most allowed")
    tokenizer = read_tokenizer(folder)
    added = len(tokenizer.get_added_tokens_decoder())
    if added > MAX_ADDED_TOKENS:
        raise InvalidInputError(
            f"tokenizer.json has {added} added tokens, at most {MAX_ADDED_TOKENS} are allowed. "
            "Make them part of its vocabulary"
        )
    longest = max(map(len, tokenizer.get_vocab(with_added_tokens=True)), default=0)
    if longest > MAX_TOKEN_CHARACTERS:
        raise InvalidInputError(
            f"tokenizer.json has a token of {longest} characters, at most {MAX_TOKEN_CHARACTERS} "
            "are allowed"
        )
    return ReadFolder(folder, tokenizer, decoding_document(tokenizer))


def open_folder(read: ReadFolder) -> OpenFolder:
    """Try its template out; InvalidInputError."""
    tokenizer = ChatTokenizer.with_tokenizer(read.folder, read.tokenizer)
    return OpenFolder(read.folder, tokenizer, read.document)


def _facts(opened: OpenFolder, _: Mapping[str, Any]) -> Answer:
    return Answer(opened.tokenizer.facts.as_json(), opened.document.encode())


def _prompt(opened: OpenFolder, asked: Mapping[str, Any]) -> Answer:
    text = opened.tokenizer.render(asked["turns"], add_generation_prompt=True, tools=asked["tools"])
    return Answer(*packed([opened.tokenizer.encode(_checked(text))]))


def _encode(opened: OpenFolder, asked: Mapping[str, Any]) -> Answer:
    return Answer(*packed(opened.tokenizer.encode_batch(asked["texts"])))


def _render(opened: OpenFolder, asked: Mapping[str, Any]) -> Answer:
    text = opened.tokenizer.render(
        asked["turns"],
        add_generation_prompt=asked["add_generation_prompt"],
        tools=asked["tools"],
    )
    return Answer(_checked(text))


def _conversations(opened: OpenFolder, asked: Mapping[str, Any]) -> Answer:
    """Of each its spans and what was not found, or why it is refused; then the ids."""
    given = [Conversation(*one) for one in asked["conversations"]]
    said: list[Any] = []
    lists: list[list[int]] = []
    for one in opened.conversations(given):
        if isinstance(one, EncodedConversation):
            lists.append(one.ids)
            if one.rejected_ids is not None:
                lists.append(one.rejected_ids)
            said.append([one.spans, one.rejected_ids is not None, one.unfound])
        else:
            said.append(one.errors)
    lengths, body = packed(lists)
    return Answer([said, lengths], body)


def _prompt_facts(opened: OpenFolder, _: Mapping[str, Any]) -> Answer:
    return Answer(asdict(prompt_facts(opened.folder, opened.tokenizer)))


def _probe(opened: OpenFolder, asked: Mapping[str, Any]) -> Answer:
    return Answer(probe(opened.tokenizer, asked["name"]))


def _checked(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidInputError(
            f"the model's chat template made a prompt of {len(text)} characters, at most "
            f"{MAX_TEXT_CHARACTERS} are allowed. Send a shorter conversation"
        )
    return text


OPERATIONS: Mapping[str, Callable[[OpenFolder, Mapping[str, Any]], Answer]] = {
    "load": _facts,
    "prompt": _prompt,
    "encode": _encode,
    "render": _render,
    "conversations": _conversations,
    "prompt_facts": _prompt_facts,
    "probe": _probe,
}
