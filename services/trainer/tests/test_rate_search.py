"""A learning rate that is looked for by trial."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildFailure, Preempted
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.distribution import Distribution, undivided
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.fine_tune import fine_tune
from trainer_support.loops import Port

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]
SHORT = {"epochs": 1, "batch_size": 8, "lora_rank": 4}


class StoppedPort(Port):
    """Told to stop at its third report."""

    def report(self, phase: str, **figures: Any) -> None:
        super().report(phase, **figures)
        self.stop_requested = len(self.reports) > 2


@pytest.fixture
def dataset(tmp_path: Path, toy_rows: Rows, write_splits: Callable[..., Path]) -> Path:
    return write_splits(tmp_path / "rows", {"train": toy_rows(96), "valid": toy_rows(12, first=96)})


def trained(base: Path, dataset: Path, port: Port, **given: Any) -> Mapping[str, Any]:
    port.request = TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", SHORT | given),
        threads=1,
    ).as_json()
    return fine_tune(port)


def weights_of(result: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        (Path(result["folder"]) / "adapter_model.safetensors").read_bytes()
    ).hexdigest()


def test_the_rate_with_the_lowest_loss_is_chosen_and_trials_leave_no_state(
    tmp_path: Path, tiny_base: Path, dataset: Path
) -> None:
    searched = trained(tiny_base, dataset, Port(tmp_path / "searched"), search_learning_rate=True)

    chosen = searched["summary"]["chosen"]
    [reason] = searched["summary"]["choice_reasons"]
    _, _, told = reason.partition("the valid split was ")
    losses = {
        float(rate): float(loss) for rate, loss in (one.split(": ") for one in told.split(", "))
    }
    assert len(losses) == 3
    assert chosen == {"learning_rate": min(losses, key=lambda rate: losses[rate])}
    assert reason.startswith(f"learning_rate {chosen['learning_rate']:g}, because after 10 steps")
    given = trained(tiny_base, dataset, Port(tmp_path / "given"), **chosen)
    assert weights_of(given) == weights_of(searched)


def test_a_stop_request_ends_the_search(tmp_path: Path, tiny_base: Path, dataset: Path) -> None:
    with pytest.raises(Preempted):
        trained(tiny_base, dataset, StoppedPort(tmp_path / "port"), search_learning_rate=True)


def test_a_search_needs_a_valid_split(
    tmp_path: Path, tiny_base: Path, toy_rows: Rows, write_splits: Callable[..., Path]
) -> None:
    rows = write_splits(tmp_path / "rows", {"train": toy_rows(8)})

    with pytest.raises(ChildFailure, match="NO_VALID_SPLIT"):
        trained(tiny_base, rows, Port(tmp_path / "port"), search_learning_rate=True)


def test_a_search_excludes_a_given_rate_and_a_distribution() -> None:
    for other in ({"learning_rate": 1e-4}, {"preset": "guide"}):
        with pytest.raises(InvalidInputError, match="search_learning_rate chooses"):
            decide("lora", other | {"search_learning_rate": True})
    choices = decide("lora", {"search_learning_rate": True})
    [error] = undivided(choices, Distribution(ranks=2))
    assert "search_learning_rate runs in a single process" in error
