"""Stage that masks or pseudonymises entities in rows, or drops rows with entities."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from modelmill_data_prep.domain.entities.entity_plan import EntityPlan
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.entities.row_texts import RowTexts
from modelmill_data_prep.domain.entities.spans import EntityFinder, Span, without_overlaps
from modelmill_data_prep.domain.row_batch import dropped_rows, kept_rows, rows_with_equal_answers
from modelmill_data_prep.domain.stages import StageResult

NAME, VERSION = "entities", 4
MAX_ROUNDS = 8
"""Maximum passes per text: a replacement can reveal an adjacent entity."""


class EntityStage:
    """Applies the plan's action to entities in messages, tool-call arguments and rejected answers.

    A preference pair whose answers become equal is dropped.
    """

    def __init__(
        self,
        plan: EntityPlan,
        finders: Sequence[EntityFinder],
        pseudonymise: Pseudonymiser | None = None,
    ) -> None:
        """Create the stage.


        Args:
            pseudonymise: Required if the plan has that action.

        Raises:
            ValueError: It is missing.
        """
        if plan.needs_key and pseudonymise is None:
            raise ValueError("the plan pseudonymises, and there is no key")
        self._plan = plan
        self._finders = tuple(finders)
        self._pseudonymise = pseudonymise

    def __call__(self, rows: pa.RecordBatch) -> StageResult:
        """Process a batch of `ROWS`."""
        nothing: list[str | None] = [None] * rows.num_rows
        if self._plan.is_off:
            return StageResult(rows, dropped_rows(rows, nothing))
        row_texts = RowTexts(rows)
        texts = list(row_texts.texts)
        reasons = nothing
        counts: Counter[str] = Counter()
        pending = list(range(len(texts)))
        for number in range(MAX_ROUNDS):
            found = self._find(pending, texts, again=number > 0)
            for place, spans in found.items():
                counts.update(f"{one.type} {self._plan.actions[one.type]}" for one in spans)
                texts[place] = self._rewritten(texts[place], spans)
                for span in spans:
                    if self._plan.actions[span.type] == "drop":
                        row = row_texts.row_of[place]
                        reasons[row] = reasons[row] or f"{NAME}.{span.type}"
            # A replacement can reveal an adjacent entity, so changed texts are searched again.
            pending = [place for place in found if texts[place] != row_texts.texts[place]]
            if not pending:
                break
        after, changed = row_texts.with_texts(texts, f"{NAME}@{VERSION}")
        for row in rows_with_equal_answers(after):
            reasons[row] = reasons[row] or f"{NAME}.same_answers"
        # The report shows samples of dropped rows, so they are masked too.
        kept = kept_rows(after, reasons)
        dropped = dropped_rows(after, reasons)
        return StageResult(kept, dropped, sum(reasons[row] is None for row in changed), counts)

    def _find(
        self, places: Sequence[int], texts: Sequence[str], *, again: bool
    ) -> dict[int, list[Span]]:
        """Spans to act on, by text index.

        Args:
            again: Whether reported types were already counted in an earlier pass.
        """
        reported = {name for name, action in self._plan.actions.items() if action == "report"}
        acted_on = self._plan.actions.keys() - reported
        looked_at = [texts[place] for place in places]
        all_spans: dict[int, list[Span]] = {}
        for finder in self._finders:
            for place, spans in zip(places, finder(looked_at), strict=True):
                if spans:
                    all_spans.setdefault(place, []).extend(spans)
        wanted: dict[int, list[Span]] = {}
        for place, spans in all_spans.items():
            chosen = without_overlaps(one for one in spans if one.type in acted_on)
            if not again:
                more = (one for one in spans if one.type in reported)
                chosen = without_overlaps(more, beside=chosen)
            if chosen:
                wanted[place] = chosen
        return wanted

    def _rewritten(self, text: str, spans: Sequence[Span]) -> str:
        pieces: list[str] = []
        end = 0
        for span in spans:
            pieces += text[end : span.start], self._instead_of(span, text[span.start : span.end])
            end = span.end
        return "".join([*pieces, text[end:]])

    def _instead_of(self, span: Span, value: str) -> str:
        action = self._plan.actions[span.type]
        if action == "report":
            return value
        if action == "pseudonymise" and self._pseudonymise is not None:
            return self._pseudonymise(span.type, value)
        return f"[{span.type.upper()}]"
