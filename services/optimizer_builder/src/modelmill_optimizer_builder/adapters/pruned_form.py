"""The target form pruned: a smaller model as plain safetensors, to be trained further.

Its logits are those of the whole model in which the same parts are silent; that is checked on what
was written. What it loses is measured, and it is never served under a name unasked.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.merge_source import MergedModelGenerator
from modelmill_optimizer_builder.adapters.merged_model import (
    MergedModel,
    reference_module,
    round_weights,
)
from modelmill_optimizer_builder.adapters.prepared_source import (
    LogitProbe,
    PreparedSource,
    prepare_source,
)
from modelmill_optimizer_builder.adapters.pruning import (
    cut,
    drop_layers,
    measured_importance,
    silence,
)
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_configs, copy_tokenizer
from modelmill_optimizer_builder.adapters.torch_scorer import TorchSides
from modelmill_optimizer_builder.domain.likelihoods import Likelihoods
from modelmill_optimizer_builder.domain.parity import LogitDistance, check_export
from modelmill_optimizer_builder.domain.pruning import Kept, ModelShape, choose, planned_shape
from modelmill_optimizer_builder.make_build import FormRequest, Side, Source
from modelmill_optimizer_builder.read_general_text import Texts

NAME = "pruned"
STEPS = 2
"""Positions at which logits are compared: after the prompt, and one on."""


class PrunedForm:
    """Measures, cuts, writes, and compares what was written with the silenced model."""

    def make(self, request: FormRequest) -> "PrunedPair":
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        if request.pruning is None or request.calibration is None:
            raise ValueError("a pruned form needs a plan and a calibration")
        prepared = prepare_source(request)
        prepared.merged.release()
        copy_tokenizer(request.source.tokenizer, prepared.folder)
        config = json.loads((prepared.folder / "config.json").read_text(encoding="utf-8"))
        shape, planned = ModelShape.of(config), planned_shape(config, request.pruning)

        module = reference_module(prepared.folder)
        before = _parameters(module)
        samples = request.calibration.samples
        importance = measured_importance(
            module,
            shape,
            samples,
            lambda done, total: request.report("calibrate", done, total, "sample"),
        )
        kept = choose(importance, planned)
        silenced = _cut(module, kept, shape, planned, prepared.probe.prompt)
        _write(module, prepared.folder, request.target)
        del module

        request.report("check", 0, 0, "")
        written = reference_module(request.target)
        _, found = _greedy(written, silenced.prompt)
        check_export(distances := silenced.distances(found))
        method = {
            "kept": {"layers": list(kept.layers), "heads": planned.heads, "mlp": planned.columns},
            "of": {"layers": shape.layers, "heads": shape.heads, "mlp": shape.columns},
            "parameters": _parameters(written),
            "parameters_before": before,
            "calibration": request.calibration.as_json(),
            "writer": f"transformers {version('transformers')}",
        }
        goldens = _goldens(written, request.target, prepared.context_tokens)
        return PrunedPair(request, prepared, method, goldens.record(), distances)


class PrunedPair:
    """A pruned model and what it was cut from, both in torch."""

    names: Mapping[Side, str] = {"reference": "bf16", "built": NAME}

    def __init__(
        self,
        request: FormRequest,
        prepared: PreparedSource,
        method: Mapping[str, Any],
        goldens: Mapping[str, Any],
        distances: Sequence[LogitDistance],
    ) -> None:
        folders = {"reference": prepared.folder, "built": request.target}
        self._sides = TorchSides(lambda side: reference_module(folders[side]))
        self.reference_bytes, self.weights_bytes = map(_weights_bytes, folders.values())
        self.built_bytes = self.weights_bytes
        self.context_tokens = prepared.context_tokens
        self.method = method
        largest = max(each.largest for each in distances)
        share = max(each.largest / each.spread for each in distances)
        self.parity: Mapping[str, Any] = {
            **goldens,
            "silenced": {"positions": len(distances), "largest": largest, "largest_share": share},
        }
        self.made_figures: Mapping[str, float] = {
            "parity_largest_logit_difference": largest,
            "parity_largest_logit_share": share,
        }

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        return self._sides.of(side).scores(questions)

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        return self._sides.of(side).likelihoods(texts)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        """None: its builds are timed, in the engines that serve them."""
        return {}


def _cut(
    module: Any, kept: Kept, shape: ModelShape, planned: ModelShape, prompt: Sequence[int]
) -> LogitProbe:
    """Cut a module; what it answers with the same parts silent, computed before."""
    drop_layers(module, kept.layers)
    silence(module, kept, shape)
    tokens, expected = _greedy(module, prompt)
    cut(module, kept, shape, planned)
    return LogitProbe(list(prompt), tokens, expected)


@torch.inference_mode()
def _greedy(module: Any, prompt: Sequence[int]) -> tuple[list[int], list[Any]]:
    ids, chosen = list(prompt), []
    for _ in range(STEPS):
        logits = module(torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1]
        chosen.append(logits.numpy())
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :], chosen


def _write(module: Any, reference: Path, target: Path) -> None:
    round_weights(module)  # exact: every weight was a bf16 number before
    module.config.dtype = torch.bfloat16
    module.save_pretrained(target, safe_serialization=True)
    copy_tokenizer(reference, target)
    if not (target / "generation_config.json").is_file():
        copy_configs(reference, target)


def _goldens(written: Any, target: Path, context_tokens: int) -> GoldenCheck:
    """Goldens of the pruned model, for what is built of it and trained on it; written beside it."""
    merged = MergedModel(written)
    source = Source(target, None)
    generator = MergedModelGenerator(merged, BoundedTokenizer.load(target).eos_ids)
    goldens = GoldenCheck(source, generator, context_tokens, window=merged.window)
    goldens.goldens.write(target)
    return goldens


def _weights_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
