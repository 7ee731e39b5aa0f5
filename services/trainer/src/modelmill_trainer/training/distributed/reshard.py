"""Reshards a checkpoint for another number of ranks; runs in a process of its own.


    python -m modelmill_trainer.training.distributed.reshard OLD NEW RANKS SEED


Slices are joined to whole weights and moments, bit for bit. Every new rank gets all of them and
loads its own slices (see `zero_state`). Random states of added ranks come from SEED, rank and step.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from modelmill_trainer.training.checkpoint import BEST, OPTIMIZER, STATE
from modelmill_trainer.training.distributed.process_names import rank_folder


def reshard(old: Path, new: Path, ranks: int, seed: int) -> None:
    """Write the resharded checkpoint to `new`.

    Raises:
        ValueError: the slices in `old` do not cover every weight exactly once.
    """
    parts = sorted(old.glob(rank_folder("*")), key=lambda part: int(part.name.rpartition("-")[2]))
    new.mkdir()
    whole = new / OPTIMIZER
    save_file(_joined_slices(part / OPTIMIZER for part in parts), whole)
    for rank in range(ranks):
        folder = new / rank_folder(rank)
        # Only the leader stores the best weights.
        others = () if rank == 0 else (BEST,)
        shutil.copytree(
            parts[rank if rank < len(parts) else 0],
            folder,
            ignore=shutil.ignore_patterns(OPTIMIZER, *others),
        )
        os.link(whole, folder / OPTIMIZER)
        if rank >= len(parts):
            _reseed(folder / STATE, seed + rank)
    whole.unlink()


def _joined_slices(files: Iterable[Path]) -> dict[str, Tensor]:
    slices: dict[str, dict[int, Tensor]] = {}
    kept: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                start, _, rest = key.partition(".")
                if start.isdecimal():
                    slices.setdefault(rest, {})[int(start)] = tensors.get_tensor(key)
                else:
                    kept[key] = tensors.get_tensor(key)
    return kept | {f"0.{rest}": _concatenated(rest, parts) for rest, parts in slices.items()}


def _concatenated(name: str, parts: dict[int, Tensor]) -> Tensor:
    end = 0
    for start, part in sorted(parts.items()):
        if start != end:
            raise ValueError(f"{name} has no elements from {end} to {start}")
        end += part.numel()
    return torch.cat([part for _, part in sorted(parts.items())])


def _reseed(state_file: Path, seed: int) -> None:
    state = json.loads(state_file.read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(seed + state["progress"]["step"])
    state["random"]["torch"] = bytes(generator.get_state().tolist()).hex()
    state_file.write_text(json.dumps(state), encoding="utf-8")


def main() -> None:
    """Command line."""
    old, new, ranks, seed = sys.argv[1:]
    reshard(Path(old), Path(new), int(ranks), int(seed))


if __name__ == "__main__":
    main()
