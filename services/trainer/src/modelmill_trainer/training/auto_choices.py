"""Resolves automatic hyper-parameters once rows are read; a resumed run keeps the earlier
values."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelmill_jobs.child import ChildPort
from transformers import AutoConfig

from modelmill_trainer.domain.auto_choices import AutoChoices, RunSize, decide_auto_choices
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.checkpoint import read_progress
from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rate_search import search_rate
from modelmill_trainer.training.token_rows import tokens_in


def auto_choices_of(
    request: TrainRequest,
    splits: Mapping[str, Sequence[TrainingExample]],
    port: ChildPort,
    ranks: Ranks,
) -> AutoChoices:
    """Automatic values for a run; empty if all were given.

    Raises:
        ChildFailure: The learning-rate search is impossible.
        Preempted: The run was asked to stop during the search.
    """
    if request.checkpoint_folder is not None:
        # Not recomputed: a newer release may have another rule.
        progress = read_progress(ranks.rank_folder_in(request.checkpoint_folder))
        return AutoChoices.from_json(progress.decision) if progress.decision else AutoChoices({})
    facts = RunSize(
        rows=len(splits["train"]),
        tokens=tokens_in(splits["train"]),
        width=_width(request.base_folder),
        ranks=ranks.size,
    )
    choices = request.hyper_parameters
    decision = decide_auto_choices(choices, facts)
    if not choices.search_learning_rate:
        return decision
    whole = replace(request, hyper_parameters=decision.apply(choices))
    return search_rate(whole, decision, splits, port)


def _width(base: Path) -> int:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    return int(config.get_text_config().hidden_size)
