"""Tokenizer and chat template of a model folder: messages to token ids and back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from modelmill_service_kit.errors import InvalidInputError
from tokenizers import Tokenizer

from modelmill_tokenization.chat_template import PLAIN, ChatTemplate
from modelmill_tokenization.sections import SectionEncoder, find_cuts
from modelmill_tokenization.token_decoder import TokenDecoder, TokenizerFacts
from modelmill_tokenization.tool_format import find_tool_format, knows_tools
from modelmill_tokenization.tool_turns import Function, Turn

NAMED_SPECIAL_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "additional_chat_templates/tool_use.jinja",
    "generation_config.json",
    "config.json",
)
"""All of a model folder that `ChatTokenizer.load` reads; a folder need not have each."""
_PROBE = "endofturnprobe"
"""An answer that no template contains; what follows it in a rendering is the end of a turn."""


class EncodedExample(NamedTuple):
    """One training example."""

    ids: list[int]
    """Prompt and answer together."""

    answer_start: int
    """Index of the first id of the answer; the loss is taken from there on."""


class ChatTokenizer(TokenDecoder):
    """A model's tokenizer and chat template; equal to what transformers makes of the same folder.

    It runs foreign code in this process, without limits: only where nothing else runs, or for
    folders that somebody vouches for. All others go by `modelmill_tokenization.bounded`.

    Immutable once loaded, so threads may share it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        eos_ids: frozenset[int],
        tool_template: ChatTemplate | None = None,
    ) -> None:
        # A tokenizer.json may carry the truncation and padding of whoever saved it.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._template = template
        self._tool_template = tool_template or template
        super().__init__(tokenizer, self._find_facts(tokenizer, eos_ids))

    @property
    def has_template(self) -> bool:
        """Whether it can render conversations."""
        return self._template is not None

    @classmethod
    def load(cls, folder: Path) -> "ChatTokenizer":
        """Read `tokenizer.json`, `tokenizer_config.json`, the chat template and the eos ids.

        Raises:
            InvalidInputError: a needed file is missing or is not what its name says.
        """
        return cls.with_tokenizer(folder, read_tokenizer(folder))

    @classmethod
    def with_tokenizer(cls, folder: Path, tokenizer: Tokenizer) -> "ChatTokenizer":
        """The same, for a folder whose `tokenizer.json` has been read."""
        config = read_json(folder / "tokenizer_config.json")
        special = named_tokens(config)
        source = template_source(folder, config)
        template = None if source is None else ChatTemplate(source, special)
        tool_source = tool_template_source(folder, config)
        tool_template = None if tool_source is None else ChatTemplate(tool_source, special)
        eos_ids = _configured_eos_ids(folder)
        if eos_token := special.get("eos_token"):
            eos_id = tokenizer.token_to_id(eos_token)
            eos_ids |= frozenset() if eos_id is None else {eos_id}
        return cls(tokenizer, template, eos_ids, tool_template)

    def render(
        self,
        messages: Sequence[Turn],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Function] = (),
    ) -> str:
        """The conversation as the text the model knows.

        Args:
            tools: functions that the model may call.

        Raises:
            InvalidInputError: the model has no chat template, its template refuses the messages,
                or it says nothing of the tools.
        """
        template = self._tool_template if tools else self._template
        if template is None:
            raise InvalidInputError("the model has no chat template. Send plain text instead")
        if tools and not self.knows_tools:
            raise InvalidInputError("the model's chat template ignores tools. Send none")
        return template.render(
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            shape=PLAIN if self.tool_format is None else self.tool_format.shape,
        )

    def encode(self, text: str) -> list[int]:
        """Ids of `text` as it is: no beginning or end is added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as `encode` gives them; many at once cost a quarter less."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def section_encoder(self) -> SectionEncoder:
        """The same for one thread and many texts that have much in common."""
        return SectionEncoder(self.encode_batch, find_cuts(self._tokenizer))

    def encode_prompt(self, messages: Sequence[Turn], tools: Sequence[Function] = ()) -> list[int]:
        """Ids of the conversation up to the point where the assistant begins to speak."""
        return self.encode(self.render(messages, add_generation_prompt=True, tools=tools))

    def encode_answer(self, text: str) -> list[int]:
        """Ids that an engine must generate after `encode_prompt` to answer `text` and stop."""
        return self.encode(text + self.end_of_turn)

    def encode_example(self, messages: Sequence[Turn]) -> EncodedExample:
        """Prompt and answer of a conversation whose last turn is the assistant's.

        They are encoded apart and joined, because that is how the answer comes to be in serving:
        ids across the seam that only training saw would never be generated.

        Raises:
            InvalidInputError: the last turn is not the assistant's, or nothing comes before it.
        """
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise InvalidInputError("an example is a prompt followed by an assistant's turn")
        prompt = self.encode_prompt(messages[:-1])
        return EncodedExample(prompt + self.encode_answer(messages[-1]["content"]), len(prompt))

    def _find_facts(self, tokenizer: Tokenizer, eos_ids: frozenset[int]) -> TokenizerFacts:
        """What is found out by trying the tokenizer and the template."""
        vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        added = {
            token: (it.content, it.special)
            for token, it in tokenizer.get_added_tokens_decoder().items()
        }
        names = {token: text for token, (text, _) in added.items()}
        end_of_turn = self._find_end_of_turn([*names.values()])
        end_id = tokenizer.token_to_id(end_of_turn) if end_of_turn else None
        ends = eos_ids if end_id is None else eos_ids | {end_id}
        template = self._tool_template
        has_tools = template is not None and knows_tools(template)
        found = None
        if template is not None and has_tools:
            turn_ends = {names[token] for token in ends if token in names} | {end_of_turn}
            found = find_tool_format(template, turn_ends - {""}, set(names.values()))
        return TokenizerFacts(
            vocab_size=max(vocabulary.values(), default=-1) + 1,
            longest_token=max(map(len, vocabulary), default=1),
            eos_ids=ends,
            special_ids=frozenset(token for token, (_, special) in added.items() if special),
            end_of_turn=end_of_turn,
            knows_tools=has_tools,
            tool_format=found,
        )

    def _find_end_of_turn(self, added: Sequence[str]) -> str:
        """The first added token that the template writes after an assistant's answer."""
        if self._template is None:
            return ""
        turns: list[Turn] = [
            {"role": "user", "content": "question"},
            {"role": "assistant", "content": _PROBE},
        ]
        try:
            rendered = self._template.render(turns, add_generation_prompt=False)
        except InvalidInputError:
            return ""
        tail = rendered.rpartition(_PROBE)[2]
        found = [token for token in added if token in tail]
        # Where two begin at one place, the longer is what the tokenizer will match.
        return min(found, key=lambda token: (tail.index(token), -len(token)), default="")


def read_tokenizer(folder: Path) -> Tokenizer:
    """What `tokenizer.json` says; InvalidInputError."""
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The library raises bare Exception for a missing and for a malformed file.
    except Exception as error:
        raise InvalidInputError(f"tokenizer.json cannot be read: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInputError(f"{path.name} is missing") from error
    except ValueError as error:
        raise InvalidInputError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path.name} is not a JSON object")
    return content


def named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Named tokens; a value is the text itself or an object that has it as `content`."""
    tokens = {name: config.get(name) for name in NAMED_SPECIAL_TOKENS}
    texts = {
        name: token.get("content") if isinstance(token, dict) else token
        for name, token in tokens.items()
    }
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def template_source(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The template file when there is one, else the one in the configuration, else None."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    source = config.get("chat_template")
    if isinstance(source, list):
        # Several named templates; the default one is for conversations without tools.
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    return source if isinstance(source, str) else None


def _configured_eos_ids(folder: Path) -> frozenset[int]:
    """`eos_token_id` of generation_config.json, or of config.json when the former is silent."""
    for name in ("generation_config.json", "config.json"):
        if not (folder / name).is_file():
            continue
        eos = read_json(folder / name).get("eos_token_id")
        if isinstance(eos, int):
            return frozenset({eos})
        if isinstance(eos, list):
            return frozenset(eos)
    return frozenset()


def tool_template_source(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The template for conversations with tools, where a model has one of its own for them."""
    file = folder / "additional_chat_templates" / "tool_use.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    source = config.get("chat_template")
    if (folder / "chat_template.jinja").is_file() or not isinstance(source, list):
        return None
    found = {entry["name"]: entry["template"] for entry in source}.get("tool_use")
    return found if isinstance(found, str) else None
