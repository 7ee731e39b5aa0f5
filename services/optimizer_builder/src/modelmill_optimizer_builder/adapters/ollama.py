"""The Modelfile by which `ollama create` takes a GGUF file, its chat template among it.

Ollama renders conversations by templates in Go's language and knows no Jinja. What the model's own
template writes around the contents of turns is found by rendering probes; a template that writes
more than that is left out, and Ollama then chooses one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelmill_evaluation.parity.goldens import Goldens
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.chat_tokenizer import named_tokens, read_json

MODELFILE = "Modelfile"
SYSTEM, FIRST, ANSWER, SECOND = "sysprobe", "firstprobe", "answerprobe", "secondprobe"
QUOTES = '"""'
NO_TEMPLATE = """\
# The chat template of this model writes more than Ollama's can: tokenizer_config.json or
# chat_template.jinja has it. Ollama chooses a template itself; check what it renders.
"""


@dataclass(frozen=True)
class TurnTexts:
    """What a chat template writes before the contents of turns, and after the last."""

    system: str
    opening: str
    """Before a first turn of the user, where there is no system turn."""
    user: str
    assistant: str
    end: str
    """Where the answer begins."""
    default_system: str
    """What it says where no system turn is given; empty for nothing."""

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """As Ollama renders a conversation."""
        turns = list(messages)
        if self.default_system and turns and turns[0]["role"] != "system":
            turns = [{"role": "system", "content": self.default_system}, *turns]
        before = {"system": self.system, "user": self.user, "assistant": self.assistant}
        parts = []
        for place, turn in enumerate(turns):
            opens = place == 0 and turn["role"] == "user"
            parts += [self.opening if opens else before[turn["role"]], str(turn["content"])]
        return "".join([*parts, self.end])

    def without(self, bos: str) -> "TurnTexts":
        """The same for a runtime that adds the beginning of text itself."""
        return replace(
            self, system=self.system.removeprefix(bos), opening=self.opening.removeprefix(bos)
        )

    def in_go(self) -> str:
        """As a template in Go's language."""
        return (
            "{{ range $i, $turn := .Messages }}"
            f'{{{{ if eq $turn.Role "system" }}}}{self.system}'
            '{{ else if eq $turn.Role "assistant" }}'
            f"{self.assistant}"
            f"{{{{ else if eq $i 0 }}}}{self.opening}"
            f"{{{{ else }}}}{self.user}{{{{ end }}}}"
            "{{ $turn.Content }}{{ end }}"
            f"{self.end}"
        )


def modelfile(model: str, folder: Path, goldens: Goldens, *, adds_bos: bool) -> str:
    """Text of the Modelfile.

    Args:
        model: Name of the GGUF file beside it.
        folder: With tokenizer and chat template.
        goldens: Conversations that the template must render as the model's own does.
        adds_bos: Whether the runtime puts the beginning of text before every prompt.
    """
    tokenizer = BoundedTokenizer.load(folder)
    texts = turn_texts(tokenizer, goldens)
    if texts is not None and adds_bos:
        bos = named_tokens(read_json(folder / "tokenizer_config.json")).get("bos_token", "")
        texts = texts.without(bos)
    lines = [f"FROM ./{model}\n"]
    if texts is None:
        lines.append(NO_TEMPLATE)
    else:
        lines.append(f"TEMPLATE {QUOTES}{texts.in_go()}{QUOTES}\n")
        if texts.default_system:
            lines.append(f"SYSTEM {QUOTES}{texts.default_system}{QUOTES}\n")
    end = tokenizer.end_of_turn.strip()
    if end and '"' not in end:
        lines.append(f'PARAMETER stop "{end}"\n')
    return "".join(lines)


def turn_texts(tokenizer: BoundedTokenizer, goldens: Goldens) -> TurnTexts | None:
    """What the template writes around turns; None if Ollama cannot render the same."""
    try:
        texts = _probed(tokenizer)
    except (InvalidInputError, ValueError):
        return None  # a template may refuse system turns, for one
    parts = [*vars(texts).values()]
    if any("{{" in part or QUOTES in part or part.endswith('"') for part in parts):
        return None
    asked = [golden for golden in goldens.prompts if not golden.tools]
    alike = all(texts.rendered(golden.messages) == golden.text for golden in asked)
    return texts if alike and asked and not goldens.dated else None


def _probed(tokenizer: BoundedTokenizer) -> TurnTexts:
    """Raises ValueError if it writes contents of turns otherwise than as they are."""

    def render(*turns: tuple[str, str]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return tokenizer.render(messages, add_generation_prompt=True)  # type: ignore[arg-type]

    whole = render(("system", SYSTEM), ("user", FIRST), ("assistant", ANSWER), ("user", SECOND))
    system, after_system, assistant, user, end = _cut(whole, (SYSTEM, FIRST, ANSWER, SECOND))
    opening, _ = _cut(render(("user", FIRST)), (FIRST,))
    default = ""
    if opening.startswith(system) and opening.endswith(after_system) and system:
        default = opening[len(system) : len(opening) - len(after_system)]
    if after_system != user:
        raise ValueError("a turn of the user begins otherwise behind a system turn")
    return TurnTexts(system, opening, user, assistant, end, default)


def _cut(text: str, marks: Sequence[str]) -> list[str]:
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            raise ValueError(f"the template leaves out {mark!r}")
        parts.append(before)
    return [*parts, text]
