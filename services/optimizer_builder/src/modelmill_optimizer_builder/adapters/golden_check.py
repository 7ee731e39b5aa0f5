"""Compares a build with the goldens of its source model, and records the results."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.comparison import (
    Likeness,
    Limit,
    check_likeness,
    check_prompts,
    compare,
)
from modelmill_evaluation.parity.goldens import Goldens, Logits
from modelmill_evaluation.parity.taking import AnswerGenerator, TokenizerFacts, take_goldens
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.prompt_facts import prompt_facts

from modelmill_optimizer_builder.adapters.merge_check import MergeCheck
from modelmill_optimizer_builder.make_build import Source


def check_source(source: Source) -> None:
    """Verify, before building, that the source still renders the prompts of its training.

    Raises:
        ParityError: SPECIAL_TOKEN_MISSING, TEMPLATE_MISMATCH or TOKENIZER_MISMATCH.
    """
    goldens = Goldens.read(source.trained)
    if goldens is not None:
        _check_folder(goldens, source.tokenizer, form="the source")


class GoldenCheck:
    """Compares forms with goldens, one after another, and keeps the measured likeness of each.

    Args:
        source: Model whose goldens are read. An import has none; they are taken now.
        generator: Generates with the source in that case.
        merge: Result of the merge check; None if nothing was merged.
        window: Tokens that its layers look back at most; 0 where they look back at all.
    """

    def __init__(
        self,
        source: Source,
        generator: AnswerGenerator,
        context_tokens: int,
        merge: MergeCheck | None = None,
        *,
        window: int = 0,
    ) -> None:
        self._merge = merge
        found = Goldens.read(source.trained)
        self._reference = "source" if found is None else "training"
        self.goldens = found or _take_goldens(source.tokenizer, generator, context_tokens, window)
        self.likenesses: list[Likeness] = []
        self._by_engine: int | None = None

    def check_logits(self, rows: Iterable[Logits], limit: Limit, *, form: str) -> None:
        """Accept a form whose logits are within `limit`. Without golden prompts this does nothing.

        Raises:
            ParityError: LOGITS_DIFFER or GREEDY_DISAGREES.
        """
        if not self.goldens.prompts:
            return
        self.likenesses.append(compare(self.goldens, rows, form=form))
        check_likeness(self.likenesses[-1], limit)

    def check_folder(self, folder: Path, *, form: str) -> None:
        """Accept a folder whose tokenizer and chat template give the prompts of training.

        Raises:
            ParityError: SPECIAL_TOKEN_MISSING, TEMPLATE_MISMATCH or TOKENIZER_MISMATCH.
        """
        _check_folder(self.goldens, folder, form=form)

    def count_prompts(self, encode: Callable[[str], list[int]]) -> None:
        """Count the prompts that the engine's tokenizer encodes as training did.

        It need not be all: our serving passes token ids to the engine, and this tokenizer is for
        others.
        """
        self._by_engine = sum(
            encode(golden.text) == list(golden.prompt_ids) for golden in self.goldens.prompts
        )

    def record(self) -> dict[str, Any]:
        """Parity record for the manifest; only a build that passed every check gets this far."""
        found: dict[str, Any] = {}
        if self._merge is not None:
            found["merge"] = self._merge.as_json()
        if self._by_engine is not None:
            found["prompts_alike_by_engine"] = self._by_engine
        return found | {
            "reference": f"{self._reference}, {self.goldens.compute}",
            "goldens": len(self.goldens.prompts),
            "positions": self.goldens.positions,
            "prompt_ids": self.goldens.prompt_ids_told,
            "tokenizer": self.goldens.tokenizer,
            "template": self.goldens.template,
            "forms": [likeness.as_json() for likeness in self.likenesses],
        }

    def figures(self) -> dict[str, float]:
        """Figures of the last form compared, which is the build."""
        return self.likenesses[-1].figures() if self.likenesses else {}


def _check_folder(goldens: Goldens, folder: Path, *, form: str) -> None:
    tokenizer = BoundedTokenizer.load(folder)
    template = prompt_facts(folder, tokenizer).template
    check_prompts(goldens, tokenizer, form=form, template=template)


def _take_goldens(
    folder: Path, generator: AnswerGenerator, context_tokens: int, window: int
) -> Goldens:
    tokenizer = BoundedTokenizer.load(folder)
    found = prompt_facts(folder, tokenizer)
    facts = TokenizerFacts(
        # Only token files of a dataset need this digest.
        tokenizer="",
        template=found.template,
        special_tokens=dict(found.special_tokens),
        knows_tools=tokenizer.knows_tools,
        dated=found.dated,
    )
    return take_goldens(
        (),
        tokenizer,
        facts,
        generator,
        compute="float32",
        context_tokens=context_tokens,
        window=window,
    )
