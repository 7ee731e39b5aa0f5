"""The process in which a dataset is made: `python -m data_prep.child`, started by the worker.

spaCy is loaded here and nowhere else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.child import ChildFailure, ChildPort, Preempted, run_child_main
from service_kit.errors import InvalidInputError

from data_prep.adapters.spacy_measure import SpacyMeasurer
from data_prep.domain.dataset_plan import plan_dataset
from data_prep.domain.duplicates.split_planner import TooFewTextsError
from data_prep.prepare_dataset import NoValidRowsError, PrepareDataset

MAX_SILENCE_SECONDS = 120.0
"""Loading spaCy and one batch of the longest rows, on a slow and busy machine."""


def main(port: ChildPort) -> Mapping[str, Any]:
    """Make the dataset of `port.request`, saying after each batch how far it is."""

    def progress(phase: str, done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(
            phase, done=done, total=total, unit="row", max_silence_seconds=MAX_SILENCE_SECONDS
        )

    progress("prepare", 0, 0)
    request = port.request
    prepare = PrepareDataset(SpacyMeasurer(), progress, max_row_bytes=request["max_row_bytes"])
    try:
        made = prepare(
            Path(request["source"]),
            request["format"],
            plan_dataset(request["spec"]),
            Path(request["folder"]),
        )
    except NoValidRowsError as error:
        raise ChildFailure(
            "NO_VALID_ROWS", error.message, "Mend the rows, or give the mapping that fits them."
        ) from error
    except TooFewTextsError as error:
        raise ChildFailure(
            "TOO_FEW_TEXTS", error.message, "Give more rows, or set the share of a split to 0."
        ) from error
    except InvalidInputError as error:
        raise ChildFailure(error.reason, error.message, "Mend the file or the spec.") from error
    return {"counts": made.counts, "choices": made.choices}


if __name__ == "__main__":
    run_child_main(main)
