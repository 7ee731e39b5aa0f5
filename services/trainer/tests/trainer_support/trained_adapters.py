"""Models whose adapters have something to say."""

from pathlib import Path

import torch
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.training.model import TrainedModel


def load(folder: Path, choices: HyperParameters | None = None) -> TrainedModel:
    """A model whose adapters say something: fresh ones are silent."""
    model = TrainedModel.load(folder, choices or decide("lora", {"lora_rank": 4}), "mv-base")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.trainable.items():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=generator)
    model.train(False)
    return model
