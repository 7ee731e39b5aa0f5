"""Agreement of judges with reference labels, published as a file, and looked up.

A judge decides nothing before its agreement is published: see `why_undecided`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_client import ApiStatusError, Modelmill
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.judging.grading_prompts import GradedAnswer
from modelmill_cli.judging.judge import AnswerJudge, JudgeVersion

Record = Mapping[str, Any]
MIN_ROWS = 20
"""Fewer say too little."""
MAX_RAISED = 0.1
"""Share of hostile texts that may get an answer a better label."""
PREFIX = "judge-agreement-"
NOT_FOUND = 404


@dataclass(frozen=True)
class ReferenceRow:
    """An answer with the label that people gave it."""

    graded: GradedAnswer
    label: str


def read_references(text: str, name: str, labels: Iterable[str]) -> list[ReferenceRow]:
    """Rows of a file: {"answer", "label"}, and if need be "question" and "reference".

    Raises:
        InvalidInputError: what is wrong with them, by line; or they do not say enough.
    """
    known, rows, errors = [*labels], list[ReferenceRow](), list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _object(line)
        texts = [row.get(field, "") for field in ("answer", "question", "reference")]
        if "answer" not in row or not all(isinstance(each, str) for each in texts):
            errors.append(f"{name}:{number}: must be an object with the texts answer and label")
        elif row.get("label") not in known:
            shown = str(row.get("label"))[:40]
            errors.append(f"{name}:{number}: label {shown!r} is not one of {', '.join(known)}")
        else:
            rows.append(ReferenceRow(GradedAnswer(*texts), row["label"]))
    if errors:
        raise InvalidInputError(errors[:20])
    if len(rows) < MIN_ROWS or len({row.label for row in rows}) < 2:
        raise InvalidInputError(
            f"{name}: has {len(rows)} rows of {len({row.label for row in rows})} labels. Agreement"
            f" needs at least {MIN_ROWS} rows and two labels"
        )
    return rows


def publish(client: Modelmill, record: Record) -> str:
    """Store a record as a file of the tenant; its id."""
    line = json.dumps(record, ensure_ascii=False) + "\n"
    name = f"{PREFIX}{record['digest'][:16]}.jsonl"
    return str(client.files.upload(line.encode(), purpose="user_data", name=name)["id"])


def published(client: Modelmill, judge: AnswerJudge) -> list[Record]:
    """Records of judges of this name, the newest first."""
    found = []
    for file in client.files.list(purpose="user_data"):
        if file["filename"].startswith(PREFIX):
            record = _record(client, file["id"])
            if record.get("judge") == judge.name:
                found.append(record)
    return found


def agreement_with(records: Iterable[Record], version: JudgeVersion) -> Record | None:
    """The newest record of this version of a judge."""
    return next((each for each in records if each["digest"] == version.digest), None)


def why_undecided(
    judge: AnswerJudge, version: JudgeVersion, records: Sequence[Record], models: Iterable[str] = ()
) -> str:
    """Why the judge may decide nothing; empty where it may.

    Args:
        records: Those that are published of judges of this name, the newest first.
        models: What answered now, as the endpoint named it.
    """
    remedy = f"Measure it by `mill eval judge calibrate {judge.file} ROWS.jsonl`"
    record = agreement_with(records, version)
    if record is None:
        changed = _changes(records[0]["version"], version.as_json()) if records else ""
        if changed:
            return f"agreement unknown: {changed} changed since it was measured. {remedy}"
        return f"agreement unknown: none is published for judge {judge.name}. {remedy}"
    strangers = sorted({*models} - {*record["answered_as"]})
    if strangers:
        measured = ", ".join(record["answered_as"])
        return (
            f"agreement unknown: {strangers[0]} answered, and it was measured with {measured}."
            f" {remedy}"
        )
    low, injection = record["kappa"]["low"], record["injection"]
    if low <= judge.min_kappa:
        return (
            f"agreement too low: kappa may be {low:.2f}, which is not above {judge.min_kappa:g}."
            " Make the rubric plainer, take a stronger model, or more rows"
        )
    if not injection["rows"]:
        return f"hostile text was not tried, or on no row. {remedy}, with some `--probes`"
    if injection["raised"] > MAX_RAISED * injection["rows"]:
        return (
            f"hostile text in answers raised {injection['raised']} of {injection['rows']} labels."
            " Take a stronger model, or say in the rubric what it must ignore"
        )
    return ""


def _changes(before: Record, now: Record) -> str:
    return ", ".join(name for name in now if before.get(name) != now[name])


def _record(client: Modelmill, file_id: str) -> Record:
    try:
        content = client.files.content(file_id)
    except ApiStatusError as error:
        if error.status == NOT_FOUND:
            return {}  # deleted meanwhile
        raise
    record = _object(content.decode("utf-8", "replace"))
    return record if _is_record(record) else {}


def _is_record(record: Record) -> bool:
    """Whether it has what is read of it: a file of this name may be anybody's."""
    try:
        float(record["kappa"]["low"])
        int(record["injection"]["raised"]) + int(record["injection"]["rows"])
        return bool(record["digest"] and record["version"].keys() and list(record["answered_as"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
