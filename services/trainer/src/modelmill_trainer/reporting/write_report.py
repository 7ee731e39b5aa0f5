"""Adds loss curves and model card to the folder of a finished run."""

import json
from dataclasses import replace
from pathlib import Path

from modelmill_registry.model_card import CARD, CardFacts, model_card

from modelmill_trainer.reporting.curves import CURVES, curves_of

METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"


def write_report(folder: Path, facts: CardFacts) -> None:
    """Write curves and card; evaluation results are read from the folder."""
    evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    (folder / CURVES).write_text(curves_of(folder / METRICS), encoding="utf-8")
    complete = replace(facts, evaluation=evaluation, pictures=(CURVES,))
    (folder / CARD).write_text(model_card(complete), encoding="utf-8")
