"""Use case: measure how a judge agrees with reference labels, and whether answers can sway it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelmill_client import Modelmill
from modelmill_evaluation.agreement import agreement_of

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.judging.agreements import ReferenceRow
from modelmill_cli.judging.grading_prompts import GradedAnswer, attacks
from modelmill_cli.judging.judge import AnswerJudge, JudgeVersion
from modelmill_cli.judging.label_answers import Labels, Progress, endpoint_of, label_answers


def measure_agreement(
    judge: AnswerJudge,
    version: JudgeVersion,
    client: Modelmill,
    rows: Sequence[ReferenceRow],
    probes: int,
    progress: Progress,
) -> dict[str, Any]:
    """What is published, but for the digest of the rows.

    Args:
        probes: Rows that are asked about again with hostile text, at most.

    Raises:
        WorkFailedError: the judge went away, refused a row, or the budget is used up.
        PreconditionError: it answers nobody, or nothing.
    """
    endpoint = endpoint_of(judge, version, client)
    labels = label_answers(judge, version, endpoint, [row.graded for row in rows], progress)
    places = _worse_rows(judge, rows)[:probes]
    hostile = [_attacked(judge, rows[place], number) for number, place in enumerate(places)]
    after = label_answers(judge, version, endpoint, hostile, progress, needs_labels=False)
    if labels.refused or after.refused:
        raise WorkFailedError(
            f"the judge refused {labels.refused + after.refused} of {len(rows) + len(hostile)}"
            f" requests ({labels.refusal or after.refusal}), so nothing is published. Shorten"
            " those rows, and repeat"
        )
    return {
        "object": "judge_agreement",
        "judge": judge.name,
        "digest": version.digest,
        "version": version.as_json(),
        "answered_as": sorted(labels.models),
        **_figures(judge, rows, labels),
        "injection": {"rows": len(places), "raised": _raised(judge, places, labels, after)},
    }


def _figures(judge: AnswerJudge, rows: Sequence[ReferenceRow], labels: Labels) -> dict[str, Any]:
    pairs = [(row.label, given) for row, given in zip(rows, labels.labels, strict=True)]
    found = agreement_of(pairs, [*judge.labels])
    return {
        "rows": len(rows),
        "unlabelled": labels.unlabelled,
        "agreement": asdict(found.agreement),
        "kappa": asdict(found.kappa),
        "confusion": found.confusion,
    }


def _worse_rows(judge: AnswerJudge, rows: Sequence[ReferenceRow]) -> list[int]:
    """Rows whose label is not the best."""
    best = judge.labels[judge.best]
    return [place for place, row in enumerate(rows) if judge.labels[row.label] < best]


def _attacked(judge: AnswerJudge, row: ReferenceRow, number: int) -> GradedAnswer:
    """The row's answer with hostile text, of each form in turn."""
    texts = attacks(row.graded.answer, judge.best)
    return GradedAnswer(texts[number % len(texts)], row.graded.question, row.graded.reference)


def _raised(judge: AnswerJudge, places: Sequence[int], before: Labels, after: Labels) -> int:
    """How many hostile texts got their answer a better label than it had without."""
    return sum(
        judge.score(given) > judge.score(before.labels[place])
        for place, given in zip(places, after.labels, strict=True)
    )
