"""Renders and encodes an artifact's prompts with transformers, in a resource-limited process.

Tokenizer and chat template are untrusted, and transformers evaluates more of them than the checks
at import do.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_evaluation.parity.comparison import check_prompts
from modelmill_evaluation.parity.goldens import Goldens, ParityError
from modelmill_tokenization.bounded.call import CallLimits, bounded_call


class TransformersTokenizer:
    """Tokenizer and chat template of a folder, by transformers instead of our own tokenizer."""

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
        """Token ids of a text, without special tokens added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def check_in_transformers(
    artifact: Path, goldens: Goldens, limits: CallLimits, *, form: str
) -> None:
    """`check_prompts` with transformers, in a resource-limited process.

    Raises:
        ParityError: as `check_prompts`.
        InvalidInputError: transformers cannot load them.
        LimitError: a resource limit was exceeded.
    """
    with TemporaryDirectory() as folder:
        goldens.write(Path(folder))
        given = {"artifact": str(artifact), "goldens": folder, "form": form}
        fault = bounded_call(f"{__name__}:find_fault", given, limits)
    if fault is not None:
        raise ParityError(*fault)


def find_fault(given: Mapping[str, str]) -> tuple[str, str] | None:
    """Entry point of the limited process: code and message of the first fault."""
    # Tokenizers do not need torch, which dominates the import time of transformers.
    sys.modules["torch"] = None  # type: ignore[assignment]
    goldens = Goldens.read(Path(given["goldens"]))
    assert goldens is not None
    try:
        check_prompts(goldens, TransformersTokenizer(Path(given["artifact"])), form=given["form"])
    except ParityError as error:
        return error.code, error.message
    return None
