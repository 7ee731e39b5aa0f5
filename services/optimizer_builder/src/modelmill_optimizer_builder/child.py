"""Child process of a build: the worker runs `python -m modelmill_optimizer_builder.child`.

Only this process loads torch and OpenVINO.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.goldens import ParityError
from modelmill_jobs.child import ChildFailure, ChildPort, Preempted, run_child_main
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes
from modelmill_tokenization.bounded import LimitError

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry
from modelmill_optimizer_builder.domain.build_plan import (
    NotExportableError,
    NotMergeableError,
    NotSmallerError,
)
from modelmill_optimizer_builder.domain.forms import form_named
from modelmill_optimizer_builder.domain.pruning import Pruning
from modelmill_optimizer_builder.domain.quality import QualityLossError
from modelmill_optimizer_builder.make_build import BuildOrder, MakeBuild, Source, TargetForm

MAX_SILENCE_SECONDS = {
    "merge": 900.0,
    "export": 1800.0,
    "quantise": 900.0,
    "calibrate": 7200.0,
    "build": 7200.0,
    "judge": 1800.0,
    "check": 300.0,
}
"""For phases that are one library call; the others report every row or round."""
STEP_SILENCE_SECONDS = 120.0
SERVE_ADAPTER = "Serve the adapter itself: the transformers engine runs it on its base."
SERVE_SOURCE = "Serve the source itself: the transformers engine runs it."


def main(port: ChildPort) -> Mapping[str, Any]:
    """Make the build of `port.request`; `parity` and `method` are for the manifest."""

    def report(phase: str, done: int, total: int, unit: str) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(
            phase,
            done=done,
            total=total,
            unit=unit,
            max_silence_seconds=MAX_SILENCE_SECONDS.get(phase, STEP_SILENCE_SECONDS),
        )

    # Reported before the imports, which take longer than some builds.
    report("merge", 0, 0, "")
    order = _begun(port)
    try:
        result = MakeBuild(load_form(order.form), report)(order)
    except QualityLossError as error:
        raise ChildFailure(
            "QUALITY_LOSS",
            str(error),
            "Serve the source itself, train it longer, or allow a larger max_accuracy_loss.",
        ) from error
    except NotMergeableError as error:
        raise ChildFailure("NOT_MERGEABLE", str(error), SERVE_ADAPTER) from error
    except NotExportableError as error:
        raise ChildFailure("NOT_EXPORTABLE", str(error), SERVE_SOURCE) from error
    except NotSmallerError as error:
        raise ChildFailure("NOT_SMALLER", str(error), SERVE_SOURCE) from error
    except ParityError as error:
        raise ChildFailure(error.code, error.message, error.remedy) from error
    except (InvalidInputError, LimitError) as error:
        raise ChildFailure(
            error.reason, error.message, "Correct the dataset, or import the model again."
        ) from error
    return {"figures": result.figures, "parity": result.parity, "method": result.method}


def load_form(name: str) -> TargetForm:
    """The builder of a form; imports only that form's libraries.

    Raises:
        InvalidInputError: There is no such form.
    """
    module, _, builder = form_named(name).builder.partition(":")
    with large_import("bitsandbytes"):
        loaded = import_module(f"modelmill_optimizer_builder.adapters.{module}")
    form: TargetForm = getattr(loaded, builder)()
    return form


def _begun(port: ChildPort) -> BuildOrder:
    """The order, once libraries that it will import know what to leave."""
    forbid_telemetry()
    order = _order(port)
    leave_out_bitsandbytes(order.source.base)
    return order


def _order(port: ChildPort) -> BuildOrder:
    request = port.request
    return BuildOrder(
        form=request["form"],
        source=Source(Path(request["base"]), _path(request["adapter"])),
        dataset=_path(request["dataset"]),
        choices=tuple(request["choices"]),
        max_rows=request["max_rows"],
        max_accuracy_loss=request["max_accuracy_loss"],
        tuned=_path(request["tuned"]),
        scratch=port.folder / "scratch",
        target=Path(request["target"]),
        pruning=Pruning.of(request.get("pruning")),
        prompt_lookup=request.get("prompt_lookup", "auto"),
        is_candidate=request["is_candidate"],
    )


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


if __name__ == "__main__":
    run_child_main(main)
