"""Stage that masks or pseudonymises entities in rows, or drops rows with entities.

It sees all texts of a batch in a flat view, including texts inside JSON extras.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any

import msgspec
import pyarrow as pa

from modelmill_data_prep.domain.entities.entity_plan import (
    TYPES,
    EntityFinder,
    EntityPlan,
    Span,
    without_overlaps,
)
from modelmill_data_prep.domain.entities.person_names import places_of_names
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.reading.parse_block import parse_json
from modelmill_data_prep.domain.row_batch import (
    ROWS,
    dropped_rows,
    kept_rows,
    like_lists,
    rows_with_equal_answers,
)
from modelmill_data_prep.domain.stages import StageResult

_ARGUMENTS = "arguments"
"""Field of a tool call that holds JSON as a string."""

_NO_TEXTS = ("id", "tool_call_id", "type")
"""Fields that link messages, and must not change."""

_PLACES = ("file", "section")
"""Fields of a passage's document that people wrote."""

_PARTS = frozenset(
    (
        *("agent", "assistant", "bot", "chatbot", "client", "customer", "example_assistant"),
        *("example_user", "human", "model", "support", "system", "user"),
        *("用户", "客户", "客服", "助手", "顾客"),
    )
)
"""Names of who speaks that are no person's."""

_REPLACED = re.compile(r"\[[A-Z_]+\]|Person-[0-9A-F]{8}")

_OPENED = 2
"""Levels of JSON-in-JSON that are parsed; deeper ones are treated as text. Together with the
nesting limit of values this bounds recursion on untrusted input."""


def read_json(text: str) -> Any:
    """Parse JSON; returns the text itself if it is invalid or nested too deeply."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def write_json(value: Any) -> str:
    """Encode as JSON, including integers beyond 64 bits."""
    try:
        return msgspec.json.encode(value).decode()
    except OverflowError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def leaves(tree: Any, opened: int = 0) -> Iterator[str]:
    """All strings and numbers of a JSON value, as texts in document order.

    Args:
        opened: Current level of JSON-in-JSON.
    """
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield str(tree)
    elif isinstance(tree, list):
        for item in tree:
            yield from leaves(item, opened)
    elif isinstance(tree, dict):
        for name, item in tree.items():
            if name not in _NO_TEXTS:
                inner = _opened(name, item, opened)
                yield from leaves(inner, opened + (inner is not item))


def with_leaves(tree: Any, texts: Iterator[str], opened: int = 0) -> Any:
    """The value with replaced texts, one per leaf; a changed number becomes a string."""
    if isinstance(tree, str):
        return next(texts)
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        text = next(texts)
        return tree if text == str(tree) else text
    if isinstance(tree, list):
        return [with_leaves(item, texts, opened) for item in tree]
    if isinstance(tree, dict):
        return {name: _with_leaves_of(name, item, texts, opened) for name, item in tree.items()}
    return tree


def _with_leaves_of(name: str, item: Any, texts: Iterator[str], opened: int) -> Any:
    if name in _NO_TEXTS:
        return item
    inner = _opened(name, item, opened)
    if inner is item:
        return with_leaves(item, texts, opened)
    changed = with_leaves(inner, texts, opened + 1)
    # Without a change the original string is kept byte for byte.
    return item if changed == inner else write_json(changed)


def _opened(name: str, item: Any, opened: int) -> Any:
    """Parse JSON arguments to an object or list."""
    if name == _ARGUMENTS and isinstance(item, str) and opened < _OPENED:
        value = read_json(item)
        return value if isinstance(value, dict | list) else item
    return item


class RowTexts:
    """Message contents, texts in extras, rejected answers, names of files and sections."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows
        self._contents = rows.column("contents")
        turns: list[str] = self._contents.flatten().to_pylist()
        rows_of_turns: list[int] = pa.compute.list_parent_indices(self._contents).to_pylist()
        self._turns = len(turns)
        self._extras: list[str | None] = []
        self._trees: list[tuple[int, Any, int]] = []
        """(Message index, parsed extras, number of texts) of messages with extras."""
        self.texts = turns
        self.row_of = rows_of_turns
        """Row index of each text."""
        self.speakers: list[int] = []
        """Texts that are the names of who speaks."""
        self._read_extras(rows_of_turns[:])
        rejected = rows.column("rejected")
        self._rejected = pa.compute.indices_nonzero(rejected.is_valid()).to_pylist()
        self.texts += rejected.drop_null().to_pylist()
        self.row_of += self._rejected
        self._documents: list[tuple[int, dict[str, Any], list[str]]] = []
        """(Row index, document, fields with texts) of passages."""
        self._read_documents()

    def with_texts(
        self, texts: Sequence[str], types: Mapping[int, Collection[str]]
    ) -> tuple[pa.RecordBatch, list[int]]:
        """Replace texts; returns the batch and the indices of changed rows.

        Args:
            texts: Replacement for each of `self.texts`.
            types: Entity types replaced in each row; a changed row's `changes` names them.
        """
        differs = [new != old for new, old in zip(texts, self.texts, strict=True)]
        rows = sorted({self.row_of[place] for place, one in enumerate(differs) if one})
        if not rows:
            return self._rows, []
        columns = {name: self._rows.column(name) for name in ROWS.names}
        columns["contents"] = like_lists(self._contents, texts[: self._turns])
        rest = iter(texts[self._turns :])
        if self._trees:
            extras = self._written_extras(rest)
            columns["extras"] = like_lists(self._rows.column("extras"), extras)
        if self._rejected:
            rejected = self._rows.column("rejected").to_pylist()
            for row, text in zip(self._rejected, rest, strict=True):
                rejected[row] = text
            columns["rejected"] = pa.array(rejected, pa.string())
        if self._documents:
            columns["document"] = pa.array(self._written_documents(rest), pa.string())
        changes = self._rows.column("changes").to_pylist()
        for row in rows:
            replaced = sorted(types[row], key=TYPES.index)
            changes[row] = [*changes[row], *(f"{NAME}.{one}@{VERSION}" for one in replaced)]
        columns["changes"] = pa.array(changes, pa.list_(pa.string()))
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=ROWS), rows

    def _read_extras(self, rows_of_turns: Sequence[int]) -> None:
        flat = self._rows.column("extras").flatten()
        if flat.null_count == len(flat):
            return
        self._extras = flat.to_pylist()
        for turn, extra in enumerate(self._extras):
            if extra is not None:
                tree = read_json(extra)
                found = list(leaves(tree))
                self._trees.append((turn, tree, len(found)))
                if isinstance(tree, dict) and isinstance(tree.get("name"), str):
                    before = dict(takewhile(lambda item: item[0] != "name", tree.items()))
                    if "tool_call_id" not in tree:  # it names a tool
                        self.speakers.append(len(self.texts) + len([*leaves(before)]))
                self.texts += found
                self.row_of += [rows_of_turns[turn]] * len(found)

    def _read_documents(self) -> None:
        documents = self._rows.column("document")
        if documents.null_count == len(documents):
            return
        for row, written in enumerate(documents.to_pylist()):
            if written is not None:
                document = msgspec.json.decode(written)
                named = [name for name in _PLACES if document.get(name)]
                self._documents.append((row, document, named))
                self.texts += [document[name] for name in named]
                self.row_of += [row] * len(named)

    def _written_documents(self, rest: Iterator[str]) -> list[str | None]:
        documents: list[str | None] = self._rows.column("document").to_pylist()
        for row, document, named in self._documents:
            changed = document | dict(zip(named, rest, strict=False))
            if changed != document:
                documents[row] = write_json(changed)
        return documents

    def _written_extras(self, rest: Iterator[str]) -> list[str | None]:
        extras = list(self._extras)
        for turn, tree, count in self._trees:
            changed = with_leaves(tree, iter(list(islice(rest, count))))
            # Unchanged JSON is kept byte for byte.
            if changed != tree:
                extras[turn] = write_json(changed)
        return extras


NAME, VERSION = "entities", 7
PERSON = "person"
MAX_ROUNDS = 8
"""Maximum passes per text: a replacement can reveal an adjacent entity."""


class EntityStage:
    """Applies the plan's action to entities in messages, tool-call arguments, rejected answers, and
    the names of a passage's file and section.

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
        replaced: dict[int, set[str]] = {}
        pending = list(range(len(texts)))
        for number in range(MAX_ROUNDS):
            found = self._find(pending, texts, row_texts, again=number > 0)
            for place, spans in found.items():
                counts.update(f"{one.type} {self._plan.actions[one.type]}" for one in spans)
                texts[place] = self._rewritten(texts[place], spans)
                row = row_texts.row_of[place]
                for span in spans:
                    if self._plan.actions[span.type] != "report":
                        replaced.setdefault(row, set()).add(span.type)
                    if self._plan.actions[span.type] == "drop":
                        reasons[row] = reasons[row] or f"{NAME}.{span.type}"
            # A replacement can reveal an adjacent entity, so changed texts are searched again.
            pending = [place for place in found if texts[place] != row_texts.texts[place]]
            if not pending:
                break
        after, changed = row_texts.with_texts(texts, replaced)
        for row in rows_with_equal_answers(after):
            reasons[row] = reasons[row] or f"{NAME}.same_answers"
        # The report shows samples of dropped rows, so they are masked too.
        kept = kept_rows(after, reasons)
        dropped = dropped_rows(after, reasons)
        return StageResult(kept, dropped, sum(reasons[row] is None for row in changed), counts)

    def _find(
        self, places: Sequence[int], texts: Sequence[str], row_texts: RowTexts, *, again: bool
    ) -> dict[int, list[Span]]:
        """Spans to act on, by text index.

        Args:
            row_texts: Where the texts are from.
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
        for place in row_texts.speakers:
            if not again and place not in all_spans and _may_be_a_person(texts[place]):
                all_spans[place] = [Span(PERSON, 0, len(texts[place]))]
        _add_names_of_rows(all_spans, places, texts, row_texts.row_of)
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


def _may_be_a_person(speaker: str) -> bool:
    """Whether the name of who speaks is a person's: neither a part that one plays nor replaced."""
    if speaker.casefold() in _PARTS or _REPLACED.fullmatch(speaker):
        return False
    return "@" not in speaker and any(map(str.isalpha, speaker))


def _add_names_of_rows(
    spans: dict[int, list[Span]],
    places: Sequence[int],
    texts: Sequence[str],
    row_of: Sequence[int],
) -> None:
    """A person whom one text of a row names is found in its other texts, also without the words
    that told it there.
    """
    names: dict[int, set[str]] = {}
    for place, found in spans.items():
        for span in found:
            if span.type == PERSON:
                names.setdefault(row_of[place], set()).add(texts[place][span.start : span.end])
    if names:
        for place in places:
            for start, end in places_of_names(names.get(row_of[place], ()), texts[place]):
                spans.setdefault(place, []).append(Span(PERSON, start, end))
