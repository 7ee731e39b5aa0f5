"""Models, asked through the job's parent, who alone has an address of them."""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.adapters.score_requests import score_requests
from modelmill_data_prep.domain.augmenting.generated import Prompt, TextGenerator
from modelmill_data_prep.pipeline.asking import ModelUse

NOTHING_TO_SCORE = "the row has no text to score, or more than any model reads"

Ask = Callable[[Iterable[Mapping[str, Any]]], Iterator[tuple[int, Any]]]
"""See `modelmill_jobs.child.ChildPort.ask`: from questions to the place and the answer of each."""


@dataclass
class _Use:
    questions: int = 0
    without_answer: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    first_refusal: tuple[int, str] | None = None
    """By place, because answers come in any order."""

    def count(self, place: int, answer: Mapping[str, Any]) -> None:
        if answer["value"] is not None:
            self.versions[answer["version"]] += 1
            return
        self.without_answer += 1
        if self.first_refusal is None or place < self.first_refusal[0]:
            self.first_refusal = place, answer["refusal"]


class ParentModels:
    """See `pipeline.asking.Models`.

    Args:
        ask: Asks the parent, who answers as `modelmill_data_prep.ask_models.OpenModels` does.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._uses: dict[tuple[str, str], _Use] = {}

    def losses(
        self, model: str, rows: pa.RecordBatch, answered: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """See `Models`."""
        use = self._use("loss", model)
        requests = score_requests(rows)
        losses = np.full(len(requests), np.nan)
        asked: list[int] = []
        for place, request in enumerate(requests):
            if request is None:
                nothing = {"value": None, "refusal": NOTHING_TO_SCORE}
                use.count(use.questions + place, nothing)
            else:
                asked.append(place)
        questions = (
            {"asks": "loss", "model": model, "request": _text_of(requests[place])}
            for place in asked
        )
        for count, (number, answer) in enumerate(self._ask(questions), start=1):
            use.count(use.questions + asked[number], answer)
            if answer["value"] is not None:
                losses[asked[number]] = answer["value"]
            answered(count)
        use.questions += len(requests)
        return losses

    def writer(self, model: str) -> TextGenerator:
        """See `Models`."""
        use = self._use("text", model)

        def write(prompts: Sequence[Prompt]) -> list[str]:
            texts = [""] * len(prompts)
            for place, answer in self._ask(_asking(model, prompt) for prompt in prompts):
                use.count(use.questions + place, answer)
                texts[place] = answer["value"] or ""
            use.questions += len(prompts)
            return texts

        return write

    @property
    def uses(self) -> list[ModelUse]:
        """See `Models`."""
        return [
            ModelUse(
                *(purpose, model, use.questions, use.without_answer),
                versions=dict(sorted(use.versions.items())),
                refusal=use.first_refusal[1] if use.first_refusal else "",
            )
            for (purpose, model), use in sorted(self._uses.items())
        ]

    def _use(self, purpose: str, model: str) -> _Use:
        return self._uses.setdefault((purpose, model), _Use())


def _asking(model: str, prompt: Prompt) -> dict[str, Any]:
    limits = {"max_new_tokens": prompt.max_new_tokens, "seed": prompt.seed}
    return {"asks": "text", "model": model, "prompt": prompt.text, **limits}


def _text_of(request: Any) -> str:
    return b64encode(request.SerializeToString(deterministic=True)).decode()
