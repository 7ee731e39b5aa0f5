"""Goldens of a run, and the proof that its artifact is the model that was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.comparison import Likeness, Limit, check_likeness, compare
from modelmill_evaluation.parity.errors import REMEDIES, SPECIAL_TOKEN_MISSING, ParityError
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_evaluation.parity.prompts import check_prompts
from modelmill_evaluation.parity.taking import TokenizerFacts, take_goldens
from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_tokenization.bounded.call import CallLimits
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.prompt_facts import PromptFacts, prompt_facts
from modelmill_tokenization.tool_turns import Turn

from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.golden_rows import golden_rows
from modelmill_trainer.training.golden_speaker import TrainedSpeaker
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.reloaded import reloaded_logits
from modelmill_trainer.training.transformers_prompts import check_in_transformers

RELOADED_LIMIT = Limit(largest_share=0.001, greedy_agreement=0.9)
"""Of the artifact in transformers and float32, which computes the same numbers in another order.
Honest ones were within 0.00002; a token whose rival is as likely may change places."""

UNREADABLE_REMEDY = "Mend the base's tokenizer files, import it again and train that."


def refuse_tokens_in_pieces(folder: Path, tokenizer: ChatTokenizer) -> None:
    """Refuse a base whose template writes special tokens that its tokenizer reads as mere text.

    Raises:
        ChildFailure: SPECIAL_TOKEN_MISSING, with the token and what it is read as.
    """
    turns: list[Turn] = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": "answer"},
    ]
    try:
        written = tokenizer.render(turns, add_generation_prompt=False)
    except InvalidInputError:
        return  # without a template no turn is written
    for text, ids in prompt_facts(folder, tokenizer).in_pieces.items():
        if text in written:
            raise ChildFailure(
                SPECIAL_TOKEN_MISSING,
                f"the base's chat template writes the special token {text!r}, and its tokenizer "
                f"reads that as {len(ids)} tokens, {ids}",
                REMEDIES[SPECIAL_TOKEN_MISSING],
            )


@dataclass(frozen=True)
class Parity:
    """What a run leaves to be compared with."""

    goldens: Goldens
    trained: Likeness | None
    """The goldens in the format of training; None when there are no goldens."""


def take_from(
    model: TrainedModel,
    tokenizer: ChatTokenizer,
    splits: Mapping[str, Sequence[Example]],
    request: TrainRequest,
) -> Parity:
    """Goldens of the trained model, which computes in float32 afterwards."""
    facts = _facts_of(request.base_folder, tokenizer)
    seed = request.hyper_parameters.seed
    rows = golden_rows(request.dataset_folder, splits, tokenizer, seed=seed)
    speaker = TrainedSpeaker(model, tokenizer.eos_ids)
    trained_in = model.compute_format
    goldens = take_goldens(
        rows,
        tokenizer,
        facts,
        speaker,
        compute="float32",
        context_tokens=request.context_tokens,
    )
    if not goldens.prompts:
        return Parity(goldens, None)
    trained = compare(goldens, speaker.as_trained, form=f"training, {trained_in}")
    return Parity(goldens, trained)


def check_artifact(
    artifact: Path,
    base: Path,
    goldens: Goldens,
    limits: CallLimits = CallLimits(),  # noqa: B008  frozen
) -> Likeness | None:
    """See that an artifact, read back from disk, is the model that the goldens were taken from.

    Args:
        limits: Of what transformers does with its chat template and tokenizer.

    Raises:
        ChildFailure: It is not; its code is the fault's name.
        LimitError: its chat template or tokenizer took more than it may.
    """
    form = "the artifact"
    try:
        own = BoundedTokenizer.load(artifact)
        template = prompt_facts(artifact, own).template
        check_prompts(goldens, own, form=form, template=template)
        check_in_transformers(artifact, goldens, limits, form=f"{form} in transformers")
        if not goldens.prompts:
            return None
        rows = reloaded_logits(artifact, base, goldens)
        likeness = compare(goldens, rows, form=f"{form} in transformers, float32")
        check_likeness(likeness, RELOADED_LIMIT)
    except ParityError as error:
        raise ChildFailure(error.code, error.message, error.remedy) from error
    except InvalidInputError as error:
        raise ChildFailure(error.reason, error.message, UNREADABLE_REMEDY) from error
    return likeness


def parity_record(parity: Parity, reloaded: Likeness | None) -> dict[str, Any]:
    """What the artifact's manifest says of it; only what passed every check gets so far."""
    goldens = parity.goldens
    return {
        "reference": "training, float32",
        "goldens": len(goldens.prompts),
        "positions": goldens.positions,
        "prompt_ids": goldens.prompt_ids_told,
        "tokenizer": goldens.tokenizer,
        "template": goldens.template,
        "forms": [each.as_json() for each in (parity.trained, reloaded) if each is not None],
    }


def _facts_of(folder: Path, tokenizer: ChatTokenizer) -> TokenizerFacts:
    found: PromptFacts = prompt_facts(folder, tokenizer)
    return TokenizerFacts(
        tokenizer_digest(folder),
        found.template,
        dict(found.special_tokens),
        tokenizer.knows_tools,
        found.dated,
    )
