"""A build beside the goldens of the model that it was made from, and what is recorded of it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.comparison import Likeness, Limit, check_likeness, compare
from modelmill_evaluation.parity.goldens import Goldens, Logits
from modelmill_evaluation.parity.prompts import check_prompts
from modelmill_evaluation.parity.taking import Speaker, TokenizerFacts, take_goldens
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.prompt_facts import prompt_facts

from modelmill_optimizer_builder.adapters.merge_check import MergeCheck
from modelmill_optimizer_builder.make_build import Source


def check_source(source: Source) -> None:
    """See, before anything is made of it, that a source still has the prompts it was trained with.

    Raises:
        ParityError: SPECIAL_TOKEN_MISSING, TEMPLATE_MISMATCH or TOKENIZER_MISMATCH.
    """
    goldens = Goldens.read(source.trained)
    if goldens is not None:
        _check_folder(goldens, source.tokenizer, form="the source")


class GoldenCheck:
    """Compares forms with goldens, one after the other, and remembers how alike they were.

    Args:
        source: Whose goldens are read; where it has none, as an import, they are taken now.
        speaker: The source, to be asked then.
        merge: What was seen of the merge; None where nothing was merged.
    """

    def __init__(
        self,
        source: Source,
        speaker: Speaker,
        context_tokens: int,
        merge: MergeCheck | None = None,
    ) -> None:
        self._merge = merge
        found = Goldens.read(source.trained)
        self._reference = "source" if found is None else "training"
        self.goldens = found or _taken(source.tokenizer, speaker, context_tokens)
        self.likenesses: list[Likeness] = []
        self._by_engine = 0

    def check_logits(self, rows: Iterable[Logits], limit: Limit, *, form: str) -> None:
        """Accept a form that is as like as `limit` wants; nothing is asked where no golden fits.

        Raises:
            ParityError: LOGITS_DIFFER or GREEDY_DISAGREES.
        """
        if not self.goldens.prompts:
            return
        self.likenesses.append(compare(self.goldens, rows, form=form))
        check_likeness(self.likenesses[-1], limit)

    def check_folder(self, folder: Path, *, form: str) -> None:
        """Accept a folder whose tokenizer and template give the prompts of training.

        Raises:
            ParityError: SPECIAL_TOKEN_MISSING, TEMPLATE_MISMATCH or TOKENIZER_MISMATCH.
        """
        _check_folder(self.goldens, folder, form=form)

    def count_prompts(self, encode: Callable[[str], list[int]]) -> None:
        """Count the prompts that a tokenizer reads as training does, which need not be all: it is
        for others, while our serving hands the engine token ids."""
        self._by_engine = sum(
            encode(golden.text) == list(golden.prompt_ids) for golden in self.goldens.prompts
        )

    def record(self) -> dict[str, Any]:
        """What the manifest says; only what passed every check gets so far."""
        merge = {} if self._merge is None else {"merge": self._merge.as_json()}
        return merge | {
            "reference": f"{self._reference}, {self.goldens.compute}",
            "goldens": len(self.goldens.prompts),
            "positions": self.goldens.positions,
            "prompt_ids": self.goldens.prompt_ids_told,
            "prompts_alike_by_engine": self._by_engine,
            "tokenizer": self.goldens.tokenizer,
            "template": self.goldens.template,
            "forms": [likeness.as_json() for likeness in self.likenesses],
        }

    def figures(self) -> dict[str, float]:
        """Of the last form that was compared, which is the build."""
        return self.likenesses[-1].figures() if self.likenesses else {}


def _check_folder(goldens: Goldens, folder: Path, *, form: str) -> None:
    tokenizer = BoundedTokenizer.load(folder)
    template = prompt_facts(folder, tokenizer).template
    check_prompts(goldens, tokenizer, form=form, template=template)


def _taken(folder: Path, speaker: Speaker, context_tokens: int) -> Goldens:
    tokenizer = BoundedTokenizer.load(folder)
    found = prompt_facts(folder, tokenizer)
    facts = TokenizerFacts(
        # Of no dataset's token files, and so of no use.
        tokenizer="",
        template=found.template,
        special_tokens=dict(found.special_tokens),
        knows_tools=tokenizer.knows_tools,
        dated=found.dated,
    )
    return take_goldens(
        (), tokenizer, facts, speaker, compute="float32", context_tokens=context_tokens
    )
