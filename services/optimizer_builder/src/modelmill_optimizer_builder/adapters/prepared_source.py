"""Steps that come before every form: check the source, merge it, and what a build is compared with
(torch)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from modelmill_evaluation.parity.comparison import Limit

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck, check_source
from modelmill_optimizer_builder.adapters.merge_source import merge_source
from modelmill_optimizer_builder.adapters.merged_model import Logits, MergedModel
from modelmill_optimizer_builder.adapters.speed_rounds import NEW_TOKENS
from modelmill_optimizer_builder.domain.parity import LogitDistance
from modelmill_optimizer_builder.make_build import FormRequest

PARITY_STEPS = 2
"""Prefill and one decode step: an exported model can be right in one and wrong in the other."""


@dataclass(frozen=True)
class WeightForm:
    """Name of a form, and how near its logits must stay to the source's."""

    name: str
    weights: str
    """Its name in evaluation.json."""
    limit: Limit
    """As served, beside the goldens."""
    tolerance: float
    """Root mean square difference in float32, as a share of the logits' standard deviation."""


@dataclass(frozen=True)
class LogitProbe:
    """A prompt, and what the merged model makes of it in float32."""

    prompt: list[int]
    tokens: list[int]
    """Greedy tokens after the prompt."""
    expected: list[Logits]
    """Logits that each of them was chosen from."""

    def distances(self, found: Sequence[Logits]) -> list[LogitDistance]:
        """How far another form's logits at the same steps are from these."""
        return [
            LogitDistance(
                where="decode" if step else "prefill",
                largest=float(np.abs(ours - wanted).max()),
                root_mean_square=float(np.sqrt(np.mean((ours - wanted) ** 2))),
                spread=float(wanted.std()),
            )
            for step, (ours, wanted) in enumerate(zip(found, self.expected, strict=True))
        ]


@dataclass(frozen=True)
class PreparedSource:
    """A merged source that passed its checks."""

    merged: MergedModel
    goldens: GoldenCheck
    folder: Path
    """The merged model as bf16 safetensors, without a tokenizer."""
    reference_bytes: int
    """Size of these weights."""
    context_tokens: int
    probe: LogitProbe


def prepare_source(request: FormRequest) -> PreparedSource:
    """Merge the source into the scratch folder, and compute what forms are compared with.

    Raises:
        ParityError: The source is not what was trained; the code names the fault.
    """
    request.report("merge", 0, 0, "")
    check_source(request.source)
    merged, goldens = merge_source(request.source)
    folder = request.scratch / "merged"
    reference_bytes = merged.save(folder)
    prompt = list(request.prompts[0])[: merged.context_tokens - NEW_TOKENS]
    tokens, expected = merged.greedy_logits(prompt, PARITY_STEPS)
    probe = LogitProbe(prompt, tokens, expected)
    return PreparedSource(merged, goldens, folder, reference_bytes, merged.context_tokens, probe)
