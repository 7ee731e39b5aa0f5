"""Runs PrepareDataset in the child process; imports all heavy libraries."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted
from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_token_files.tokens_plan import TokensPlan
from modelmill_tokenization.bounded import LimitError

from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.domain.dataset_plan import DatasetPlan, plan_dataset
from modelmill_data_prep.domain.duplicates.split_planner import TooFewTextsError
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import AS_DETECTED, FileForm, FileFormat
from modelmill_data_prep.domain.reading.inspect_file import inspect_file
from modelmill_data_prep.domain.reading.named_errors import named
from modelmill_data_prep.domain.reading.source_files import RowSource, SourceFile, SourceFiles
from modelmill_data_prep.pipeline.model_augmentation import NoLossError, RowModels
from modelmill_data_prep.pipeline.row_worker import WorkerPool
from modelmill_data_prep.prepare_dataset import (
    NoValidRowsError,
    PrepareDataset,
    PreparedDataset,
    Progress,
)

MAX_SILENCE_SECONDS = 120.0
"""Time to start workers and process one block of the longest rows, on a busy machine."""
ASKING_SILENCE_SECONDS = 1_200.0
"""Above what one answer takes at most: the parent's patience, and its last call (`ask_models`)."""
ASKING = ("augment", "loss")
"""Phases with model requests."""


def prepare_in_child(port: ChildPort, processes: int) -> Mapping[str, Any]:
    """Make the dataset of `port.request`, with a progress report after each block.

    Args:
        processes: Local worker processes.
    """

    def progress(phase: str, done: int, total: int) -> None:
        if port.stop_requested:
            raise Preempted
        silence = ASKING_SILENCE_SECONDS if phase in ASKING else MAX_SILENCE_SECONDS
        port.report(phase, done=done, total=total, unit="row", max_silence_seconds=silence)

    try:
        made = _prepare(port, processes, progress)
    except NoValidRowsError as error:
        raise ChildFailure(
            "NO_VALID_ROWS",
            error.message,
            "Correct the rows, or give the mapping, encoding and delimiter that fit them.",
        ) from error
    except TooFewTextsError as error:
        raise ChildFailure(
            "TOO_FEW_TEXTS", error.message, 'Give more rows, or fewer splits: shares={"train": 1}.'
        ) from error
    except NoLossError as error:
        raise ChildFailure(
            "NO_LOSS", error.message, "Choose another loss_model, or leave the weight loss out."
        ) from error
    except LimitError as error:
        raise ChildFailure(error.reason, error.message, "Choose another base model.") from error
    except InvalidInputError as error:
        raise ChildFailure(error.reason, error.message, "Correct the file or the spec.") from error
    return asdict(made)


def tokens_plan(tokens: Mapping[str, Any] | None) -> TokensPlan | None:
    """The tokenization plan of a request."""
    if tokens is None:
        return None
    return TokensPlan(
        model=tokens["model"],
        tokenizer=tokenizer_digest(Path(tokens["folder"])),
        max_tokens=tokens["max_tokens"],
        pack_tokens=tokens["pack_tokens"],
    )


def _prepare(port: ChildPort, processes: int, progress: Progress) -> PreparedDataset:
    request = port.request
    limits = ReadLimits(max_row_bytes=request["max_row_bytes"])
    plan, tokens = plan_dataset(request["spec"]), tokens_plan(request["tokens"])
    count = request.get("sources", 1)
    given, others = request["files"][:count], request["files"][count:]
    files = [_inspected(file, plan.reading, limits) for file in given]
    source: RowSource = files[0] if len(files) == 1 else SourceFiles(files)
    evaluation = [_inspected(file, AS_DETECTED, limits) for file in others]
    with _pool(request, processes) as pool:
        prepare = PrepareDataset(pool, progress, limits, tokens, _models(port, plan))
        return prepare(source, evaluation, plan, Path(request["folder"]))


def _inspected(file: Mapping[str, str], requested: FileForm, limits: ReadLimits) -> SourceFile:
    path, file_format = Path(file["path"]), cast(FileFormat, file["format"])
    with named(file.get("name", "")):
        form = inspect_file(path, file_format, requested, limits)
    return SourceFile(path, file_format, form, file.get("name", ""))


def _models(port: ChildPort, plan: DatasetPlan) -> RowModels | None:
    if not plan.asks_models:
        return None
    # Imported lazily, because it loads the inference service's messages.
    from modelmill_data_prep.adapters.parent_models import ParentModels

    return ParentModels(partial(port.ask, at_once=port.request["ask_at_once"]))


def _pool(request: Mapping[str, Any], processes: int) -> WorkerPool:
    if not request["ray_address"]:
        return LocalPool(request, processes)
    # Ray is installed only where a cluster is used.
    from modelmill_data_prep.adapters.ray_pool import RayPool

    return RayPool(request, request["ray_address"])
