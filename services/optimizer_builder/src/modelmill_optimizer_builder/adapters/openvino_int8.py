"""The target form openvino-int8: OpenVINO IR with int8 weights, for CPUs."""

import gc
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openvino as ov
import openvino_genai
import torch
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.comparison import (
    Likeness,
    check_likeness,
    check_special_tokens,
    compare,
)
from modelmill_evaluation.parity.goldens import Goldens, Logits
from modelmill_tokenization.bounded.here import BoundedTokenizer
from openvino import opset13 as ops
from optimum.exporters.openvino import export_from_model, utils
from optimum.exporters.openvino.model_configs import DeepseekOpenVINOConfig
from optimum.exporters.openvino.model_patcher import OVDecoderModelPatcher
from optimum.exporters.tasks import TasksManager

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck, check_source
from modelmill_optimizer_builder.adapters.merge_check import check_merge
from modelmill_optimizer_builder.adapters.merged_model import MergedModel
from modelmill_optimizer_builder.adapters.openvino_parity import logit_distances, served_logits
from modelmill_optimizer_builder.adapters.openvino_scorer import OpenVinoScorer
from modelmill_optimizer_builder.adapters.openvino_tokenizer import (
    check_tokenizer,
    read_by_engine,
    write_tokenizer,
)
from modelmill_optimizer_builder.domain.build_plan import NotExportableError
from modelmill_optimizer_builder.domain.parity import (
    EXACT_LIMIT,
    INT8_LIMIT,
    ROUNDED_LIMIT,
    check_export,
    check_quantised,
)
from modelmill_optimizer_builder.make_build import Report, Side, Source

LOWEST, HIGHEST = -128, 127
DYNAMIC_QUANTISATION_GROUP = 2**31 - 1
"""One activation scale per token: faster than OpenVINO's default of one per 32 values."""

_FLOATS = (ov.Type.bf16, ov.Type.f16, ov.Type.f32)
Ids = Sequence[int]
MODEL_FILE = "openvino_model.xml"
LATENT = ("deepseek_v2", "deepseek_v3")
"""Models with latent attention, which optimum-intel supports for transformers 4.53 only."""
TASK = "text-generation-with-past"
NO_LIMIT = "99.0"
REASON_CHARACTERS = 300
NEW_TOKENS = 64
ROUNDS = 6
CACHE_GIB = 1
Name = TypeVar("Name", bound=str)
PARITY_STEPS = 2
"""Prefill and one decode step: a traced model can be right in one and wrong in the other."""


def quantise_weights(source: Path, target: Path) -> None:
    """Quantize an IR from float to int8 weights; each has its `.bin` file next to it."""
    model = ov.Core().read_model(source)
    for node in model.get_ordered_ops():
        if _is_weight(node):
            _replace(node, _dequantised(node))
    model.validate_nodes_and_infer_types()
    model.set_rt_info(
        str(DYNAMIC_QUANTISATION_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    )
    ov.save_model(model, target, compress_to_fp16=False)


def _is_weight(node: Any) -> bool:
    """Whether a node is the weight matrix of a linear layer or an embedding."""
    if node.get_type_name() != "Constant" or node.get_element_type() not in _FLOATS:
        return False
    if len(node.shape) != 2:
        return False
    return any(
        (user.get_type_name(), port) in (("MatMul", 1), ("Gather", 0)) for user, port in _uses(node)
    )


def _uses(node: Any) -> list[tuple[Any, int]]:
    """Consumers of a constant and their input ports, looking through float conversions."""
    uses = []
    for reader in node.output(0).get_target_inputs():
        user = reader.get_node()
        if user.get_type_name() == "Convert":
            uses += _uses(user)
        else:
            uses.append((user, reader.get_index()))
    return uses


def _dequantised(node: Any) -> Any:
    """The weight as int8 times scale, in the pattern that OpenVINO runs without dequantizing."""
    name = node.get_friendly_name()
    weight = node.get_data(dtype=np.float32)
    low, high = weight.min(axis=1, keepdims=True), weight.max(axis=1, keepdims=True)
    # int8 has one more negative level; the sign of the scale gives it to the larger side.
    furthest = np.where(-low >= high, low, high)
    scale = np.where(furthest == 0, 1, furthest / LOWEST).astype(np.float32)
    quantised = np.clip(np.rint(weight / scale), LOWEST, HIGHEST).astype(np.int8)
    constant = ops.constant(quantised, name=name)
    product = ops.multiply(
        ops.convert(constant, "f16"),
        ops.constant(scale.astype(np.float16), name=f"{name}/scale"),
        name=f"{name}/fq_weights_1",
    )
    return ops.convert(product, "f32")


def _replace(node: Any, replacement: Any) -> None:
    """Connect every consumer to the replacement, also those behind a float conversion."""
    for reader in node.output(0).get_target_inputs():
        if reader.get_node().get_type_name() == "Convert":
            _replace(reader.get_node(), replacement)
        else:
            reader.replace_source_output(replacement.output(0))


class MergedModelGenerator:
    """Computes in float32, so that its logits differ only by the merge and rounding."""

    def __init__(self, merged: MergedModel, end_ids: frozenset[int]) -> None:
        self._merged = merged
        self._end_ids = end_ids

    def continuations(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        continuation = []
        for prompt in prompts:
            tokens, _ = self._merged.greedy_logits(prompt, new_tokens)
            ends = [place for place, token in enumerate(tokens, 1) if token in self._end_ids]
            continuation.append(tokens[: ends[0]] if ends else tokens)
        return continuation

    def logits(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        module = self._merged.module.float()
        rows = list(module_logits(module, prompts, continuations))
        module.to(torch.bfloat16)  # exact: every weight was a bf16 number before
        return iter(rows)


@torch.inference_mode()
def module_logits(
    module: Any, prompts: Sequence[Ids], continuations: Sequence[Ids]
) -> Iterator[Logits]:
    """(P, V) logits after each prompt and along its continuation, by a float32 module."""
    for prompt, continuation in zip(prompts, continuations, strict=True):
        ids = torch.tensor([[*prompt, *continuation[:-1]]])
        yield module(ids, use_cache=False, logits_to_keep=len(continuation)).logits[0].numpy()


def export_bf16(merged: MergedModel, folder: Path) -> None:
    """Write `openvino_model.xml` and `.bin`, `config.json` and `generation_config.json`.

    Raises:
        NotExportableError: optimum-intel cannot export this architecture.
    """
    model_type = merged.module.config.model_type
    if model_type in LATENT:
        _prepare_latent(merged)
    if model_type not in utils.SKIP_CHECK_TRACE_MODELS:
        # torch would trace a second time to compare; `parity` checks the result instead.
        utils.SKIP_CHECK_TRACE_MODELS = (*utils.SKIP_CHECK_TRACE_MODELS, model_type)
    try:
        _allow_this_transformers(merged.module)
        export_from_model(
            merged.module,
            folder,
            task=TASK,
            stateful=True,
            # Keep bf16 constants; float32 would be twice as large.
            patch_16bit_model=True,
            # `openvino_tokenizer` writes the tokenizer, from the source's own files.
            preprocessors=[],
        )
    except (MemoryError, OSError):
        raise  # says nothing of the architecture
    except Exception as error:  # the exporter's errors have no class of their own
        raise not_exportable(model_type, error) from error


def _allow_this_transformers(module: Any) -> None:
    """Let an architecture be exported that optimum-intel tried with an older transformers only.

    Whether the export is right is not taken on trust: `make` compares what it computes.
    """
    config = TasksManager.get_exporter_config_constructor(
        model=module, task=TASK, exporter="openvino", library_name="transformers"
    )
    config.func.MAX_TRANSFORMERS_VERSION = NO_LIMIT


def not_exportable(model_type: str, error: Exception) -> NotExportableError:
    """What the exporter said of an architecture, in one line."""
    reason = " ".join(str(error).split())[:REASON_CHARACTERS] or type(error).__name__
    return NotExportableError(f"optimum-intel cannot export a model of type {model_type}: {reason}")


def _prepare_latent(merged: MergedModel) -> None:
    """Export like any other decoder: transformers 5 no longer has what optimum-intel patches.

    Experts are computed as one batched product. OpenVINO has no operation for the default, which
    groups tokens by expert, and tracing a loop over experts would bake in one prompt's counts.
    """
    DeepseekOpenVINOConfig._MODEL_PATCHER = OVDecoderModelPatcher
    merged.module.set_experts_implementation("batched_mm")


def tokens_per_second(
    folders: Mapping[Name, Path],
    prompts: Sequence[Sequence[int]],
    on_round: Callable[[int, int], None],
) -> dict[Name, list[float]]:
    """Tokens per second of each round and folder: one greedy request at a time, prefill included.

    The folders alternate within each round, so that other load on the machine affects all of them.
    The first round is a warm-up and not counted.

    Args:
        prompts: Token ids; one prompt per round.
        on_round: Called with (rounds done, total rounds).
    """
    pipelines = {name: _pipeline(folder) for name, folder in folders.items()}
    rates: dict[Name, list[float]] = {name: [] for name in folders}
    for round_number in range(ROUNDS + 1):
        on_round(round_number, ROUNDS + 1)
        prompt = prompts[round_number % len(prompts)]
        for name, pipeline in pipelines.items():
            rate = _generate(pipeline, prompt)
            if round_number:
                rates[name].append(rate)
    return rates


def _pipeline(folder: Path) -> Any:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = CACHE_GIB
    return openvino_genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", {})


def _generate(pipeline: Any, prompt: Sequence[int]) -> float:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = NEW_TOKENS
    config.ignore_eos = True
    config.do_sample = False
    started = time.perf_counter()
    (result,) = pipeline.generate([ov.Tensor(np.array([prompt]))], [config])
    seconds = time.perf_counter() - started
    return len(result.m_generation_ids[0]) / seconds


class OpenVinoInt8:
    """Exports once: the bf16 IR is both the reference and the input of quantization."""

    def make(
        self,
        source: Source,
        prompts: Sequence[Sequence[int]],
        scratch: Path,
        target: Path,
        report: Report,
    ) -> "Int8BuildPair":
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
        return Int8BuildPair(reference, target, reference_bytes, context_tokens, goldens)


def merge_source(source: Source) -> tuple[MergedModel, GoldenCheck]:
    """Merge base and adapter, and verify the result against the goldens of training.

    Raises:
        ParityError: LOGITS_DIFFER, GREEDY_DISAGREES or MERGE_DTYPE.
    """
    training_goldens = Goldens.read(source.trained)
    exact: list[Likeness] = []

    def inspect(module: Any) -> None:
        """Before rounding, a merge must reproduce the goldens exactly."""
        if training_goldens is None or not training_goldens.prompts:
            return
        rows = module_logits(module, *training_goldens.spoken)
        exact.append(compare(training_goldens, rows, form="merged, float32"))
        check_likeness(exact[0], EXACT_LIMIT)

    merged = MergedModel.load(source.base, source.adapter, inspect)
    merge = None
    if source.adapter is not None:
        merge = check_merge(merged, source.base, source.adapter)
    generator = MergedModelGenerator(merged, BoundedTokenizer.load(source.tokenizer).eos_ids)
    goldens = GoldenCheck(source, generator, merged.context_tokens, merge)
    if exact:
        goldens.likenesses += exact
        rows = generator.logits(*goldens.goldens.spoken)
        goldens.check_logits(rows, ROUNDED_LIMIT, form="merged, bfloat16 weights")
    return merged, goldens


def check_built(goldens: GoldenCheck, target: Path) -> None:
    """Verify that a finished build encodes and answers the golden prompts as its source does.

    Raises:
        ParityError: It does not; the code names the fault.
        LimitError: A tokenizer exceeded its time or memory limit.
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
    """The engine loads no model without a tokenizer."""
    for path in source.glob("openvino_*tokenizer.*"):
        shutil.copyfile(path, target / path.name)


class Int8BuildPair:
    """An IR with int8 weights, and the bf16 IR that it was quantized from."""

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
