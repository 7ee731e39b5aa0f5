"""A base whose chat template does not end costs rows, or the job, and no more time than a limit."""

import json
from pathlib import Path
from typing import Any

import pytest
from data_prep_support.children import child_port
from data_prep_support.preparing import prepare
from modelmill_data_prep.child import main
from modelmill_jobs.child import ChildFailure
from modelmill_testkit.hostile_models import HOSTILE, TRIGGER
from modelmill_testkit.models import make_tiny_llama

pytestmark = pytest.mark.tier("test")

SLEEPER = (
    "{% for m in messages %}{% if 'BOOM' in m.content %}{% for i in range(99999) %}"
    "{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}{{ m.content }}<|im_end|>"
    "{% endfor %}"
).replace("BOOM", TRIGGER)


def tokens_of(model: Path) -> dict[str, Any]:
    return {"model": "mv-1", "folder": str(model), "max_tokens": 1000, "pack_tokens": 2048}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_row_on_which_the_template_does_not_end_is_put_aside(
    tmp_path: Path, processes: int
) -> None:
    base = make_tiny_llama(tmp_path / "base", chat_template=SLEEPER)
    rows: list[object] = [{"q": f"question {n}", "a": "ok"} for n in range(6)]
    rows[2] = {"q": f"question 2 {TRIGGER}", "a": "ok"}

    dataset = prepare(rows, processes=processes, tokenize={"model": "mv-1"}, tokens=tokens_of(base))

    assert dataset.counts["rows_kept"] == 5
    [aside] = [row for row in dataset.provenance if row["outcome"] == "quarantined"]
    assert aside["line"] == 3


@pytest.mark.parametrize("name", ["template: power", "template: nested loops"])
def test_a_template_that_never_ends_fails_the_job_with_the_reason(
    tmp_path: Path, name: str
) -> None:
    base = tmp_path / "base"
    HOSTILE[name](base)
    rows = b"\n".join(json.dumps({"q": f"q {n}", "a": "ok"}).encode() for n in range(9))

    with child_port(tmp_path, rows) as port:
        port.request["spec"]["tokenize"] = {"model": "mv-1"}
        port.request["tokens"] = tokens_of(base)
        with pytest.raises(ChildFailure) as failed:
            main(port)

    assert failed.value.code == "TEMPLATE_LIMIT"
    assert "CPU time" in failed.value.message
    assert failed.value.remedy
