"""Curves and card of a finished run, put into its folder before that becomes an artifact."""

import json
from dataclasses import replace
from pathlib import Path

from modelmill_registry.model_card import CARD, CardFacts, model_card

from modelmill_trainer.reporting.curves import CURVES, curves_of

METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"


def write_report(folder: Path, facts: CardFacts) -> None:
    """Draw the run's curves and write its card, with what the folder itself says added."""
    evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    (folder / CURVES).write_text(curves_of(folder / METRICS), encoding="utf-8")
    told = replace(facts, evaluation=evaluation, pictures=(CURVES,))
    (folder / CARD).write_text(model_card(told), encoding="utf-8")
