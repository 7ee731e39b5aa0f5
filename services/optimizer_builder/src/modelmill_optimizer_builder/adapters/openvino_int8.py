"""The form openvino-int8: OpenVINO IR with 8-bit weights, for CPUs."""

import gc
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.comparison import Likeness, check_likeness, compare
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_evaluation.parity.prompts import check_special_tokens
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck, check_source
from modelmill_optimizer_builder.adapters.int8_weights import quantise_weights
from modelmill_optimizer_builder.adapters.merge_check import check_merge
from modelmill_optimizer_builder.adapters.merged_model import MergedModel
from modelmill_optimizer_builder.adapters.merged_speaker import MergedSpeaker, module_logits
from modelmill_optimizer_builder.adapters.openvino_export import MODEL_FILE, export_bf16
from modelmill_optimizer_builder.adapters.openvino_parity import logit_distances, served_logits
from modelmill_optimizer_builder.adapters.openvino_scorer import OpenVinoScorer
from modelmill_optimizer_builder.adapters.openvino_speed import NEW_TOKENS, tokens_per_second
from modelmill_optimizer_builder.adapters.openvino_tokenizer import (
    check_tokenizer,
    read_by_engine,
    write_tokenizer,
)
from modelmill_optimizer_builder.domain.parity import (
    EXACT_LIMIT,
    INT8_LIMIT,
    ROUNDED_LIMIT,
    check_export,
    check_quantised,
)
from modelmill_optimizer_builder.make_build import Report, Side, Source

PARITY_STEPS = 2
"""The prompt, and one token after it: a traced model can be right for one and wrong for the other.
"""


class OpenVinoInt8:
    """Exports once: the bf16 IR is the reference, and what is quantised."""

    def make(
        self,
        source: Source,
        prompts: Sequence[Sequence[int]],
        scratch: Path,
        target: Path,
        report: Report,
    ) -> "MadeInt8":
        reference = scratch / "reference"
        target.mkdir(parents=True)
        report("merge", 0, 0, "")
        check_source(source)
        merged, goldens = merge_source(source)
        reference_bytes = merged.save(scratch / "merged")
        shutil.rmtree(scratch / "merged")
        prompt = list(prompts[0])[: merged.context_tokens - NEW_TOKENS]
        tokens, expected = merged.greedy_logits(prompt, PARITY_STEPS)
        context_tokens = merged.context_tokens

        report("export", 0, 0, "")
        export_bf16(merged, reference)
        del merged
        gc.collect()

        report("quantise", 0, 0, "")
        quantise_weights(reference / MODEL_FILE, target / MODEL_FILE)
        _copy_configs(reference, target)
        write_tokenizer(source.tokenizer, target)
        _copy_engine_tokenizer(target, reference)

        report("check", 0, 0, "")
        check_tokenizer(target)
        check_export(logit_distances(reference / MODEL_FILE, prompt, tokens, expected))
        check_quantised(logit_distances(target / MODEL_FILE, prompt, tokens, expected))
        check_built(goldens, target)
        goldens.goldens.write(target)
        return MadeInt8(reference, target, reference_bytes, context_tokens, goldens)


def merge_source(source: Source) -> tuple[MergedModel, GoldenCheck]:
    """Base and adapter as one, seen to be what was trained; the goldens go on to the build.

    Raises:
        ParityError: LOGITS_DIFFER, GREEDY_DISAGREES or MERGE_DTYPE.
    """
    of_training = Goldens.read(source.trained)
    exact: list[Likeness] = []

    def look(module: Any) -> None:
        """Before rounding, a merge gives the goldens themselves."""
        if of_training is None or not of_training.prompts:
            return
        rows = module_logits(module, *of_training.spoken)
        exact.append(compare(of_training, rows, form="merged, float32"))
        check_likeness(exact[0], EXACT_LIMIT)

    merged = MergedModel.load(source.base, source.adapter, look)
    merge = None
    if source.adapter is not None:
        merge = check_merge(merged, source.base, source.adapter)
    speaker = MergedSpeaker(merged, BoundedTokenizer.load(source.tokenizer).eos_ids)
    goldens = GoldenCheck(source, speaker, merged.context_tokens, merge)
    if exact:
        goldens.likenesses += exact
        rows = speaker.logits(*goldens.goldens.spoken)
        goldens.check_logits(rows, ROUNDED_LIMIT, form="merged, bfloat16 weights")
    return merged, goldens


def check_built(goldens: GoldenCheck, target: Path) -> None:
    """See that a finished folder reads and answers the goldens as its source does.

    Raises:
        ParityError: It does not; its code is the fault's name.
        LimitError: A tokenizer took more than it may.
    """
    form = "openvino-int8"
    goldens.check_folder(target, form=form)
    texts = [*goldens.goldens.special_tokens, *(each.text for each in goldens.goldens.prompts)]
    encode = dict(zip(texts, read_by_engine(target, texts), strict=True)).__getitem__
    check_special_tokens(goldens.goldens, encode, form=f"the engine's tokenizer of {form}")
    goldens.count_prompts(encode)
    rows = served_logits(target / MODEL_FILE, *goldens.goldens.spoken)
    goldens.check_logits(rows, INT8_LIMIT, form=f"{form}, as served")


def _copy_configs(source: Path, target: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _copy_engine_tokenizer(source: Path, target: Path) -> None:
    """The engine loads no model without one."""
    for path in source.glob("openvino_*tokenizer.*"):
        shutil.copyfile(path, target / path.name)


class MadeInt8:
    """An IR with 8-bit weights and the one with bf16 weights that it was made from."""

    names: Mapping[Side, str] = {"reference": "bf16", "built": "int8"}

    def __init__(
        self,
        reference: Path,
        built: Path,
        reference_bytes: int,
        context_tokens: int,
        goldens: GoldenCheck,
    ) -> None:
        self._folders: dict[Side, Path] = {"reference": reference, "built": built}
        self.reference_bytes = reference_bytes
        self.built_bytes = sum(path.stat().st_size for path in built.glob("openvino_model.*"))
        self.context_tokens = context_tokens
        self.parity: Mapping[str, Any] = goldens.record()
        self.parity_figures: Mapping[str, float] = goldens.figures()

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        return OpenVinoScorer(self._folders[side] / MODEL_FILE).scores(questions)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        fitting = [list(prompt)[: self.context_tokens - NEW_TOKENS] for prompt in prompts]
        return tokens_per_second(self._folders, fitting, on_round)
