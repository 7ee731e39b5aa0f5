"""Trial of a policy on the lines of a file, compared with expected labels."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    FEEDBACK_REPORT_FALSE_POSITIVE,
    FEEDBACK_REPORT_MISSED,
    FeedbackRecorded,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import feedback_recorded
from modelmill_guard.bundle import CompiledPolicy, TextTooLongError
from modelmill_guard.verdict import Action, Direction, RuleMatch, Verdict

ACTIONS = tuple(action.name.lower() for action in Action)
_AROUND = 16
"""Characters of context on each side of an example."""


class BadLineError(ValueError):
    """A line that cannot be judged; the message says why."""


@dataclass(frozen=True)
class Line:
    """One text, and what should become of it: an action, or for a bool whether it is touched."""

    text: str
    label: str | bool | None


@dataclass
class RuleTally:
    """What one rule did."""

    category: str
    action: str
    texts: int = 0
    matches: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Trial:
    """All that is counted while a file is judged."""

    examples: int = 3
    judged: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    rules: dict[str, RuleTally] = field(default_factory=dict)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Texts by label and action; a bool is the label "touched" or "allow"."""
    mismatches: list[int] = field(default_factory=list)
    """Lines whose label was another."""
    bad: list[tuple[int, str]] = field(default_factory=list)
    """Lines that could not be judged, and why."""

    def add(self, number: int, line: Line, verdict: Verdict) -> None:
        """Count one verdict."""
        action = verdict.action.name.lower()
        self.judged += 1
        self.actions[action] += 1
        seen: set[str] = set()
        for match in verdict.matches:
            tally = self.rules.setdefault(
                match.rule_id, RuleTally(match.category, match.action.name.lower())
            )
            tally.matches += 1
            tally.texts += match.rule_id not in seen
            seen.add(match.rule_id)
            if len(tally.examples) < self.examples:
                tally.examples.append(f"{number}: {_example(line.text, match)}")
        if line.label is not None:
            self._compare(number, line.label, action)

    def record(self) -> dict[str, Any]:
        """All that was counted, as JSON has it."""
        confusion = [
            {"label": label, "action": action, "texts": texts}
            for (label, action), texts in self.confusion.items()
        ]
        return {
            "judged": self.judged,
            "actions": dict(self.actions),
            "rules": {rule_id: asdict(tally) for rule_id, tally in self.rules.items()},
            "confusion": confusion,
            "mismatches": self.mismatches,
            "bad": [{"line": number, "reason": reason} for number, reason in self.bad],
            "precision": self.precision,
            "recall": self.recall,
        }

    def _compare(self, number: int, label: str | bool, action: str) -> None:
        if isinstance(label, bool):
            said, right = "touched" if label else "allow", label == (action != "allow")
        else:
            said, right = label, label == action
        self.confusion[said, action] += 1
        if not right:
            self.mismatches.append(number)

    @property
    def precision(self) -> float | None:
        """Of the texts that a rule touched, the share that should be; None when there are none."""
        return self._share(lambda label, action: action != "allow")

    @property
    def recall(self) -> float | None:
        """Of the texts that should be touched, the share that is; None when there are none."""
        return self._share(lambda label, action: label != "allow")

    def _share(self, counts: Callable[[str, str], bool]) -> float | None:
        among = sum(n for key, n in self.confusion.items() if counts(*key))
        both = sum(n for key, n in self.confusion.items() if "allow" not in key)
        return both / among if among else None


def try_policy(
    policy: CompiledPolicy, file: Path, direction: Direction, *, jsonl: bool, examples: int
) -> Trial:
    """Judge every line; what cannot be judged is named in the result, and the rest goes on.

    Raises:
        OSError: the file cannot be read.
    """
    trial = Trial(examples)
    with file.open("rb") as raw_lines:
        for number, raw in enumerate(raw_lines, 1):
            try:
                line = read_line(raw, jsonl=jsonl)
                if line is not None:
                    trial.add(number, line, policy.check(line.text, direction))
            except (BadLineError, TextTooLongError) as error:
                trial.bad.append((number, str(error)))
    return trial


def read_line(raw: bytes, *, jsonl: bool) -> Line | None:
    """A line of the file; None for an empty one.

    Raises:
        BadLineError: not UTF-8, or not the JSON that is asked for.
    """
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadLineError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    if not text.strip():
        return None
    return _from_json(text) if jsonl else Line(text, None)


def _from_json(text: str) -> Line:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLineError(f"not JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise BadLineError("needs an object with `text`")
    label = row.get("label")
    if label is not None and not isinstance(label, bool) and label not in ACTIONS:
        raise BadLineError(f"label must be true, false or one of {', '.join(ACTIONS)}")
    return Line(row["text"], label)


def _example(text: str, match: RuleMatch) -> str:
    before = text[max(0, match.start - _AROUND) : match.start]
    return f"{before}⟦{text[match.start : match.end]}⟧{text[match.end : match.end + _AROUND]}"


LABELS = {FEEDBACK_REPORT_FALSE_POSITIVE: False, FEEDBACK_REPORT_MISSED: True}
"""Whether any rule should touch the text."""


async def reported(bus: Bus, tenant: str | None) -> list[FeedbackRecorded]:
    """All that is kept of what people reported, oldest first; of one tenant or of all.

    Raises:
        InvalidInputError: a tenant cannot have that name.
    """
    subject = "feedback.recorded.*" if tenant is None else feedback_recorded(tenant)
    return [body async for body in _bodies(bus, subject) if body.report in LABELS]


def labelled_rows(reports: Iterable[FeedbackRecorded], direction: str | None) -> list[str]:
    """One JSON row for each text of a tenant, as its last report labels it; in their order.

    Args:
        direction: leave out what was said to go the other way.
    """
    latest: dict[tuple[str, str], FeedbackRecorded] = {}
    for report in reports:
        if report.text and direction in (None, report.direction or direction):
            key = (report.tenant, report.text)
            latest.pop(key, None)
            latest[key] = report
    return [json.dumps(dict(_row(report)), ensure_ascii=False) for report in latest.values()]


async def _bodies(bus: Bus, subject: str) -> AsyncIterator[FeedbackRecorded]:
    async for stored in bus.replay([subject]):
        body: Message = stored.body
        assert isinstance(body, FeedbackRecorded), "the table of subjects says so"
        yield body


def _row(report: FeedbackRecorded) -> Iterator[tuple[str, Any]]:
    yield "text", report.text
    yield "label", LABELS[report.report]
    yield "tenant", report.tenant
    for name in ("direction", "request_id", "comment"):
        if value := getattr(report, name):
            yield name, value
    for name in ("categories", "rules"):
        if values := list(getattr(report, name)):
            yield name, values
    yield "reported_at", report.at.ToJsonString()
