"""Makes goldens from conversations and a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelmill_evaluation.parity.goldens import Golden, Goldens, KeptLogits, Logits

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """What is asked; the model's answer follows the last turn."""

    name: str
    """Of the golden, for people."""
    messages: Sequence[Message]
    """In the form of `tokenization.Turn`."""
    tools: Sequence[Mapping[str, Any]] = ()
    """In the form of `tokenization.Function`."""
    trained_ids: tuple[int, ...] = ()
    """The prompt as training read it; empty for one that training has not seen."""


_WEATHER = {
    "name": "get_weather",
    "description": "Says how the weather is.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Where"}},
        "required": ["city"],
    },
}


def _turns(*contents: tuple[str, str]) -> tuple[Message, ...]:
    return tuple({"role": role, "content": content} for role, content in contents)


FIXED = (
    Conversation("plain", _turns(("user", "What is 12,345 + 1?"))),
    Conversation(
        "system", _turns(("system", "Be brief."), ("user", "Name three  kinds\tof birds."))
    ),
    Conversation(
        "turns",
        _turns(
            ("user", "Who wrote Faust?"), ("assistant", "Goethe."), ("user", "And when?\n\n1808?")
        ),
    ),
    Conversation("chinese", _turns(("user", "价格是多少？请用中文回答。"))),
    Conversation("emoji", _turns(("user", "naïve café 🙂 🏳️‍🌈: def f(x): return x**2"))),
)
WITH_TOOLS = Conversation("tools", _turns(("user", "How is the weather in Zürich?")), (_WEATHER,))
"""For models whose chat template knows tools."""


NEW_TOKENS = 16
"""Tokens of a continuation at most."""
LONG_NEW_TOKENS = 4
"""The same behind the golden that is longer than the window: each takes a long pass."""
MAX_WINDOW = 1024
"""Widest window that has such a golden; behind a wider one its passes take longer than all else."""
COLOURS = ("red", "blue", "green", "white", "black", "yellow", "brown")

_Prompt = tuple[Conversation, str, list[int]]
"""What is asked, as text and as token ids."""


class PromptTokenizer(Protocol):
    """Renders and encodes conversations, for example `tokenization.ChatTokenizer`."""

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        """The conversation as text. Raises when the chat template refuses it."""

    def encode(self, text: str) -> list[int]:
        """Ids of the text as it is."""


class AnswerGenerator(Protocol):
    """The model that goldens are taken from."""

    def continuations(
        self, prompts: Sequence[Sequence[int]], new_tokens: int
    ) -> Sequence[Sequence[int]]:
        """What it would say after each prompt: 1 to `new_tokens` tokens, an end among them last."""

    def logits(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> Iterator[Logits]:
        """For each prompt in turn (P, V): what each token of its continuation is chosen by."""


@dataclass(frozen=True)
class TokenizerFacts:
    """What is recorded of the tokenizer that goldens are encoded by; see `Goldens`."""

    tokenizer: str
    template: str
    special_tokens: dict[str, int]
    knows_tools: bool
    dated: bool


def take_goldens(
    conversations: Sequence[Conversation],
    tokenizer: PromptTokenizer,
    facts: TokenizerFacts,
    speaker: AnswerGenerator,
    *,
    compute: str,
    context_tokens: int,
    window: int = 0,
) -> Goldens:
    """Goldens of the conversations and of those that every model is asked.

    Those that the chat template refuses or that leave no room in the context are left out. One is
    longer than the window: a form that looks back further answers it otherwise.

    Args:
        compute: Format in which `speaker` computes its logits.
        context_tokens: Of the model; 0 when it is not known.
        window: Tokens that layers look back at most; 0 where they look back at all.
    """
    most = context_tokens - NEW_TOKENS if context_tokens else None
    fixed = (*FIXED, WITH_TOOLS) if facts.knows_tools else FIXED
    asked = [
        prompt
        for conversation in (*conversations, *fixed)
        if (prompt := _prompt(conversation, tokenizer, facts.dated))
        and (most is None or len(prompt[2]) <= most)
    ]
    continuations = [*speaker.continuations([ids for _, _, ids in asked], NEW_TOKENS)]
    if 0 < window <= MAX_WINDOW and all(len(ids) <= window for _, _, ids in asked):
        longer = _longer_prompts(window, most, tokenizer, facts.dated)
        continuations += speaker.continuations([ids for _, _, ids in longer], LONG_NEW_TOKENS)
        asked += longer
    rows = speaker.logits([ids for _, _, ids in asked], continuations)
    parts = zip(asked, continuations, rows, strict=True)
    goldens = tuple(_golden(*each) for each in parts)
    return Goldens(
        goldens, compute, facts.tokenizer, facts.template, facts.special_tokens, facts.dated
    )


def _longer_prompts(
    window: int, most: int | None, tokenizer: PromptTokenizer, dated: bool
) -> list[_Prompt]:
    """A list that is longer than the window by a quarter or more, where there is one.

    Args:
        most: Tokens for which there is room; None where that is not known.
    """
    lines, tokens = 8, window + window // 4
    while lines <= 2 * tokens:
        listed = "\n".join(
            f"{line}. The door of room {line * line} is {COLOURS[line % len(COLOURS)]}."
            for line in range(1, lines + 1)
        )
        asked = Conversation("window", _turns(("user", f"{listed}\nWhich door is red?")))
        prompt = _prompt(asked, tokenizer, dated)
        if prompt is None or len(prompt[2]) >= tokens:
            return [prompt] if prompt and (most is None or len(prompt[2]) <= most) else []
        lines += max(1, lines // 8)
    return []


def _golden(prompt: _Prompt, continuation: Sequence[int], logits: Logits) -> Golden:
    asked, text, ids = prompt
    return Golden(
        asked.name,
        tuple(asked.messages),
        tuple(asked.tools),
        text,
        tuple(ids),
        tuple(continuation),
        KeptLogits.of(logits),
    )


def _prompt(conversation: Conversation, tokenizer: PromptTokenizer, dated: bool) -> _Prompt | None:
    try:
        text = tokenizer.render(
            conversation.messages, add_generation_prompt=True, tools=conversation.tools
        )
    except (
        Exception
    ):  # a template is foreign code and refuses in its own ways, such as system turns
        if conversation.trained_ids:
            raise
        return None
    # What training has read was rendered on another day.
    trained = () if dated else conversation.trained_ids
    return conversation, text, list(trained or tokenizer.encode(text))
