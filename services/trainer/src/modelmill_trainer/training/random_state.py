"""Saves and restores the states of random generators, as JSON values."""

import random
from typing import Any

import torch

RandomState = dict[str, Any]


def random_state() -> RandomState:
    """States of Python's, torch's and each GPU's generator."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "torch": _hex(torch.get_rng_state()),
        "cuda": [_hex(state) for state in devices],
    }


def set_random_state(state: RandomState) -> None:
    """Restore what `random_state` returned.

    Raises:
        ValueError: The number of GPUs differs.
    """
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(_tensor(state["torch"]))
    devices = [_tensor(one) for one in state["cuda"]]
    if len(devices) != (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise ValueError(f"the state is of a machine with {len(devices)} GPUs")
    if devices:
        torch.cuda.set_rng_state_all(devices)


def _hex(state: torch.Tensor) -> str:
    return bytes(state.tolist()).hex()


def _tensor(state: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8)
