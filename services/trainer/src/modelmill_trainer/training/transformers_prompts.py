"""An artifact's prompts as transformers makes them; called in a bounded process, never here.

Its tokenizer and chat template are foreign code, and transformers hands them more than our own
loading does, of which an import has tried nothing.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_evaluation.parity.errors import ParityError
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_evaluation.parity.prompts import check_prompts
from modelmill_tokenization.bounded.call import CallLimits, bounded_call


class TransformersTokenizer:
    """A folder's tokenizer and chat template by transformers, where goldens are by our own."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        """See `modelmill_evaluation.parity.taking.PromptTokenizer`."""
        text: str = self._tokenizer.apply_chat_template(
            list(messages),
            tools=[{"type": "function", "function": dict(tool)} for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
        return text

    def encode(self, text: str) -> list[int]:
        """Ids of the text as it is."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def check_in_transformers(
    artifact: Path, goldens: Goldens, limits: CallLimits, *, form: str
) -> None:
    """As `check_prompts`, of the artifact's files in transformers.

    Raises:
        ParityError: as `check_prompts`.
        InvalidInputError: transformers cannot load them.
        LimitError: that took more than it may.
    """
    with TemporaryDirectory() as folder:
        goldens.write(Path(folder))
        given = {"artifact": str(artifact), "goldens": folder, "form": form}
        fault = bounded_call(f"{__name__}:find_fault", given, limits)
    if fault is not None:
        raise ParityError(*fault)


def find_fault(given: Mapping[str, str]) -> tuple[str, str] | None:
    """What is called: code and message of the first fault."""
    # No tokenizer needs it, and it is most of what importing transformers takes.
    sys.modules["torch"] = None  # type: ignore[assignment]
    goldens = Goldens.read(Path(given["goldens"]))
    assert goldens is not None
    try:
        check_prompts(goldens, TransformersTokenizer(Path(given["artifact"])), form=given["form"])
    except ParityError as error:
        return error.code, error.message
    return None
