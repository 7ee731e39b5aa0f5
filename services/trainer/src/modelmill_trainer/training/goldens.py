"""Takes goldens of a trained model, and verifies that the artifact reproduces them."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from modelmill_evaluation.parity.attention_window import attention_window
from modelmill_evaluation.parity.comparison import (
    Likeness,
    Limit,
    check_likeness,
    check_prompts,
    compare,
)
from modelmill_evaluation.parity.goldens import (
    REMEDIES,
    SPECIAL_TOKEN_MISSING,
    Goldens,
    Logits,
    ParityError,
)
from modelmill_evaluation.parity.taking import Conversation, TokenizerFacts, take_goldens
from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_tokenization.bounded.call import CallLimits
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.prompt_facts import PromptFacts, prompt_facts
from modelmill_tokenization.tool_turns import Turn
from peft import PeftModel
from transformers import AutoModelForCausalLM

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.training.golden_generator import TrainedModelGenerator
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.transformers_prompts import check_in_transformers

RELOADED_LIMIT = Limit(largest_share=0.001, greedy_agreement=0.9)
"""Tolerance for the artifact in transformers with float32, where only the order of operations
differs. Correct artifacts were within 0.00002; tokens of equal likelihood may swap."""

UNREADABLE_REMEDY = "Fix the base's tokenizer files, import it again and train that version."
FORMAT = torch.float32
"""Compute dtype of the transformers engine on CPU; 16-bit weights are represented exactly."""
ROWS = 3
CANDIDATES = 1000
"""Rows from the start of the split that are sampled from, so that large splits are not read
fully."""
MAX_PROMPT_TOKENS = 512
"""Longer prompts would dominate the time for all goldens."""


def require_special_tokens(folder: Path, tokenizer: ChatTokenizer) -> None:
    """Reject a base whose chat template writes special tokens that its tokenizer splits as text.

    Raises:
        ChildFailure: SPECIAL_TOKEN_MISSING, with the token and its ids.
    """
    turns: list[Turn] = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": "answer"},
    ]
    try:
        written = tokenizer.render(turns, add_generation_prompt=False)
    except InvalidInputError:
        return  # no chat template
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
    """Goldens of a run, and how far the training dtype deviates from them."""

    goldens: Goldens
    trained: Likeness | None
    """Comparison of the training dtype with float32; None without goldens."""


def take_model_goldens(
    model: TrainedModel,
    tokenizer: ChatTokenizer,
    splits: Mapping[str, Sequence[TrainingExample]],
    request: TrainRequest,
    on_pass: Callable[[], None] = lambda: None,
) -> Parity:
    """Take goldens of the trained model; it computes in float32 afterwards."""
    facts = _facts_of(request.base_folder, tokenizer)
    seed = request.hyper_parameters.seed
    # Goldens refer to rows of the dataset's files, so a separate validation dataset is left out.
    own = splits if request.validation_folder is None else {**splits, "valid": ()}
    rows = golden_rows(request.dataset_folder, own, tokenizer, seed=seed)
    generator = TrainedModelGenerator(model, tokenizer.eos_ids, on_pass)
    trained_in, config = model.compute_format, model.module.config
    goldens = take_goldens(
        rows,
        tokenizer,
        facts,
        generator,
        compute="float32",
        context_tokens=request.context_tokens,
        window=attention_window(config),
    )
    if not goldens.prompts:
        return Parity(goldens, None)
    trained = compare(goldens, generator.as_trained, form=f"training, {trained_in}")
    return Parity(goldens, trained)


def check_artifact(
    artifact: Path,
    base: Path,
    goldens: Goldens,
    limits: CallLimits = CallLimits(),  # noqa: B008  frozen
) -> Likeness | None:
    """Verify that the artifact, reloaded from disk, reproduces the goldens.

    Args:
        limits: Resource limits of its untrusted chat template and tokenizer.

    Raises:
        ChildFailure: It does not; the code names the fault.
        LimitError: chat template or tokenizer exceeded a limit.
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
    """The manifest's parity record of a verified artifact."""
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


@torch.no_grad()
def reloaded_logits(artifact: Path, base: Path, goldens: Goldens) -> Iterator[Logits]:
    """(P, V) logits of each golden; an adapter is applied to `base`."""
    is_adapter = (artifact / "adapter_config.json").is_file()
    model: Any = AutoModelForCausalLM.from_pretrained(
        base if is_adapter else artifact,
        dtype=FORMAT,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    if is_adapter:
        model = PeftModel.from_pretrained(model, artifact, local_files_only=True)
    model.eval()
    for golden in goldens.prompts:
        ids = [*golden.prompt_ids, *golden.continuation[:-1]]
        rows = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        # Counted from the end: soft prompts add positions before the prompt.
        yield rows[-len(golden.continuation) :].float().numpy()


def golden_rows(
    dataset: Path,
    splits: Mapping[str, Sequence[TrainingExample]],
    tokenizer: ChatTokenizer,
    *,
    seed: int,
) -> list[Conversation]:
    """Sample rows of the test split (else valid, else train), with their training token ids.

    Only conversations that end with an assistant message and have no tool calls, which the fixed
    goldens cover.
    """
    split = next((name for name in ("test", "valid", "train") if splits[name]), None)
    if split is None:
        return []
    with (dataset / f"{split}.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, CANDIDATES) if line.strip()]
    places = list(range(min(len(rows), len(splits[split]))))
    random.Random(f"{seed}/goldens").shuffle(places)
    found: list[Conversation] = []
    for place in places:
        if not _is_plain(rows[place]):
            continue
        messages = tuple(rows[place]["messages"][:-1])
        ids = tokenizer.encode_prompt(messages)
        if len(ids) > MAX_PROMPT_TOKENS:
            continue
        # Prompt and answer are encoded separately and joined, so a row starts with its prompt's
        # ids.
        example: TrainingExample = splits[split][place]
        trained = tuple(example.ids)[: len(ids)]
        name = f"{split} row {rows[place].get('row', place + 1)}"
        found.append(Conversation(name, messages, trained_ids=trained))
        if len(found) == ROWS:
            break
    return found


def _is_plain(row: Mapping[str, Any]) -> bool:
    messages: Sequence[Any] = row.get("messages") or ()
    return (
        len(messages) > 1
        and messages[-1]["role"] == "assistant"
        and "tools" not in row
        and not any(turn.get("tool_calls") or turn.get("tool_call_id") for turn in messages)
    )
