"""Whether drafting by prompt lookup pays on the caller's own prompts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from modelmill_optimizer_builder.domain.measurements import quantile
from modelmill_optimizer_builder.domain.objectives import Figure

LookupMode = Literal["auto", "on", "off"]
MODES = ("auto", "on", "off")
DRAFTING_FORMS = "openvino-"
"""How the names of forms begin whose engine can draft."""
DRAFTED, MATCHED = 4, 3
"""Tokens of a draft, and tokens before it that must have stood there; see decision 0103."""
RESAMPLES = 2000
LEAST_ROUNDS = 4
"""Of fewer prompts no interval says anything."""


@dataclass(frozen=True)
class LookupRound:
    """One prompt, answered without drafts and with them."""

    without: float
    """Tokens per second."""
    drafting: float


@dataclass(frozen=True)
class LookupTrial:
    """What prompts took; the same ones, in turn."""

    rounds: Sequence[LookupRound]

    @property
    def speedup(self) -> Figure:
        """Seconds of a token without drafts over those with them, with its 95 % interval."""
        chance = random.Random(0)
        drawn = [
            _speedup(chance.choices(self.rounds, k=len(self.rounds))) for _ in range(RESAMPLES)
        ]
        return Figure(_speedup(self.rounds), quantile(drawn, 0.025), quantile(drawn, 0.975))

    @property
    def pays(self) -> bool:
        """Whether the interval is above 1."""
        return len(self.rounds) >= LEAST_ROUNDS and self.speedup.low > 1

    def figures(self, *, drafts: bool) -> dict[str, float]:
        """Metrics of a version; none where too few prompts were answered."""
        if len(self.rounds) < LEAST_ROUNDS:
            return {}
        found = self.speedup
        return {
            "prompt_lookup_speedup": found.value,
            "prompt_lookup_speedup_low": found.low,
            "prompt_lookup_speedup_high": found.high,
            "prompt_lookup_num_tokens": float(DRAFTED if drafts else 0),
        }


def lookup_errors(said: str, target_form: str | None) -> list[str]:
    """Errors of what a spec says of prompt lookup, which may be nothing.

    Args:
        target_form: None for a search.
    """
    if said and said not in MODES:
        return [f"prompt_lookup {said[:64]!r} is none of {', '.join(MODES)}"]
    if said and not (target_form or "").startswith(DRAFTING_FORMS):
        return [
            f"prompt_lookup belongs to a target_form that begins with {DRAFTING_FORMS}. Give one,"
            " or leave it out"
        ]
    return []


def lookup_mode(said: str) -> LookupMode:
    """That of a spec without errors."""
    return cast(LookupMode, said or "auto")


def generation_fields() -> Mapping[str, Any]:
    """What a generation config says of it, by Hugging Face's names."""
    return {"prompt_lookup_num_tokens": DRAFTED, "max_matching_ngram_size": MATCHED}


def _speedup(rounds: Sequence[LookupRound]) -> float:
    without = sum(1 / one.without for one in rounds)
    return without / sum(1 / one.drafting for one in rounds)
