"""The process in which a dataset is made: `python -m data_prep.child`, started by the worker.

It reads, decides and writes; the rows themselves pass through worker processes that it starts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.child import ChildFailure, ChildPort, Preempted, run_child_main
from service_kit.errors import InvalidInputError

from data_prep.adapters.local_pool import LocalPool
from data_prep.domain.dataset_plan import plan_dataset
from data_prep.domain.splits import TooFewTextsError
from data_prep.prepare_dataset import NoValidRowsError, PrepareDataset, PreparedDataset
from data_prep.simple_decider import SimpleDecider
from data_prep.temp_glue import temp_blocks

MAX_SILENCE_SECONDS = 120.0
"""Starting the workers and one block of the longest rows, on a slow and busy machine."""


def main(port: ChildPort) -> Mapping[str, Any]:
    """Make the dataset of `port.request`, saying after each block how far it is."""

    def progress(phase: str, done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        port.report(
            phase, done=done, total=total, unit="row", max_silence_seconds=MAX_SILENCE_SECONDS
        )

    progress("prepare", 0, 0)
    request = port.request
    try:
        made = _prepare(request, progress)
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
    return {"counts": made.counts, "choices": made.choices, "merkle_root": made.merkle_root}


def _prepare(request: Mapping[str, Any], progress: Any) -> PreparedDataset:
    source, plan = Path(request["source"]), plan_dataset(request["spec"])
    blocks = temp_blocks(source, request["format"], request["max_row_bytes"])
    with LocalPool(request, request["processes"]) as pool:
        prepare = PrepareDataset(pool, SimpleDecider(plan), progress, name=plan.name)
        return prepare(blocks, Path(request["folder"]), size_bytes=source.stat().st_size)


if __name__ == "__main__":
    run_child_main(main)
