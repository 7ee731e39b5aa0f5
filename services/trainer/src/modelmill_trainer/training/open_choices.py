"""What a spec leaves open, decided once the rows are read; a resumed run keeps what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelmill_jobs.child import ChildPort
from transformers import AutoConfig

from modelmill_trainer.domain.automatic import Decision, RunFacts, decide_open_choices
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.checkpoint import read_progress
from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.rate_search import search_rate
from modelmill_trainer.training.token_rows import tokens_in


def decision_of(
    request: TrainRequest, splits: Mapping[str, Sequence[Example]], port: ChildPort, ranks: Ranks
) -> Decision:
    """What is decided of a run over the rows of train; nothing where all was given.

    Raises:
        ChildFailure: The rate cannot be searched for.
        Preempted: Told to stop while it is.
    """
    if request.checkpoint_folder is not None:
        # Not decided anew: the rule may be another one by now.
        progress = read_progress(ranks.part_of(request.checkpoint_folder))
        return Decision.from_json(progress.decision) if progress.decision else Decision({})
    facts = RunFacts(
        rows=len(splits["train"]),
        tokens=tokens_in(splits["train"]),
        width=_width(request.base_folder),
        ranks=ranks.size,
    )
    choices = request.hyper_parameters
    decision = decide_open_choices(choices, facts)
    if not choices.search_learning_rate:
        return decision
    whole = replace(request, hyper_parameters=decision.apply(choices))
    return search_rate(whole, decision, splits, port)


def _width(base: Path) -> int:
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    return int(config.get_text_config().hidden_size)
