"""A base whose chat template does not end fails its job within a limit, and says why."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildFailure, ChildPort
from modelmill_testkit.hostile_models import HOSTILE, TRIGGER
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.fine_tune import fine_tune

pytestmark = pytest.mark.heavy


def failure_of(base: Path, dataset: Path, scratch: Path) -> ChildFailure:
    request = TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", {"lora_rank": 2}),
        threads=1,
    )
    with (scratch / "reports").open("wb") as reports:
        port = ChildPort(request.as_json(), scratch, reports.fileno())
        with pytest.raises(ChildFailure) as failed:
            fine_tune(port)
    return failed.value


@pytest.mark.parametrize("name", ["template: power", "sleeper: nested loops"])
def test_an_endless_template_fails_the_run(
    name: str,
    tmp_path: Path,
    toy_rows: Callable[[int], list[dict[str, Any]]],
    write_splits: Callable[[Path, dict[str, Sequence[dict[str, Any]]]], Path],
) -> None:
    base = tmp_path / "base"
    HOSTILE[name](base)
    rows = toy_rows(4)
    # Of the prompt it is the last message, on which sleepers wake.
    rows[2]["messages"][-2]["content"] = TRIGGER
    dataset = write_splits(tmp_path / "dataset", {"train": rows, "valid": [], "test": []})

    failure = failure_of(base, dataset, tmp_path)

    assert failure.code == "TEMPLATE_LIMIT"
    assert "CPU time" in failure.message
    assert failure.remedy
