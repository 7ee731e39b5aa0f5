"""A checkpoint of some ranks as one of another number of ranks; a process of its own.

    python -m modelmill_trainer.training.distributed.regather OLD NEW RANKS SEED

Slices are put together to whole weights and moments, bit for bit, and every new rank gets all of
them, of which it takes its own slices (see `zero_state`). What cannot be kept is who drew which
random number: ranks that were not there before draw from SEED, their number and the step.
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


def regather(old: Path, new: Path, ranks: int, seed: int) -> None:
    """Write `new`, which is made.

    Raises:
        ValueError: the slices in `old` are not every weight once.
    """
    parts = sorted(old.glob(rank_folder("*")), key=lambda part: int(part.name.rpartition("-")[2]))
    new.mkdir()
    whole = new / OPTIMIZER
    save_file(_together(part / OPTIMIZER for part in parts), whole)
    for rank in range(ranks):
        folder = new / rank_folder(rank)
        # The best weights are the leader's to keep.
        others = () if rank == 0 else (BEST,)
        shutil.copytree(
            parts[rank if rank < len(parts) else 0],
            folder,
            ignore=shutil.ignore_patterns(OPTIMIZER, *others),
        )
        os.link(whole, folder / OPTIMIZER)
        if rank >= len(parts):
            _draw_anew(folder / STATE, seed + rank)
    whole.unlink()


def _together(files: Iterable[Path]) -> dict[str, Tensor]:
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
    return kept | {f"0.{rest}": _joined(rest, parts) for rest, parts in slices.items()}


def _joined(name: str, parts: dict[int, Tensor]) -> Tensor:
    end = 0
    for start, part in sorted(parts.items()):
        if start != end:
            raise ValueError(f"{name} has no numbers from {end} to {start}")
        end += part.numel()
    return torch.cat([part for _, part in sorted(parts.items())])


def _draw_anew(state_file: Path, seed: int) -> None:
    state = json.loads(state_file.read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(seed + state["progress"]["step"])
    state["random"]["torch"] = bytes(generator.get_state().tolist()).hex()
    state_file.write_text(json.dumps(state), encoding="utf-8")


def main() -> None:
    """Regather as the arguments say."""
    old, new, ranks, seed = sys.argv[1:]
    regather(Path(old), Path(new), int(ranks), int(seed))


if __name__ == "__main__":
    main()
