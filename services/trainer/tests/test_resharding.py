"""Slices of ranks, put together and cut again, are the same bits."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modelmill_trainer.training.checkpoint import METRICS, OPTIMIZER, STATE, WEIGHTS
from modelmill_trainer.training.distributed.process_names import rank_folder
from modelmill_trainer.training.distributed.reshard import reshard
from safetensors.torch import load_file, save_file
from torch import Tensor

pytestmark = pytest.mark.heavy

KIND = "exp_avg.layer.weight"


def write_checkpoint(folder: Path, whole: Tensor, cuts: list[int]) -> Path:
    """The state of as many ranks as there are slices between the cuts."""
    bounds = [0, *cuts, whole.numel()]
    for rank, (start, end) in enumerate(pairwise(bounds)):
        part = folder / rank_folder(rank)
        part.mkdir(parents=True)
        kept = {f"{start}.{KIND}": whole[start:end].clone(), "step": torch.tensor(7.0)}
        save_file(kept, part / OPTIMIZER)
        save_file({}, part / WEIGHTS)
        random = torch.Generator().manual_seed(rank).get_state()
        state = {"progress": {"step": 7}, "random": {"torch": bytes(random.tolist()).hex()}}
        (part / STATE).write_text(json.dumps(state))
        (part / METRICS).write_text("{}\n")
    return folder


@given(
    cuts=st.lists(st.integers(1, 99), max_size=5, unique=True).map(sorted), ranks=st.integers(1, 6)
)
def test_every_new_rank_gets_the_whole_state_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranks: int
) -> None:
    root = tmp_path_factory.mktemp("regather")
    whole = torch.randn(100, generator=torch.Generator().manual_seed(1))
    whole[3] = -0.0
    write_checkpoint(root / "old", whole, cuts)

    reshard(root / "old", root / "new", ranks, seed=1)

    assert sorted(path.name for path in (root / "new").iterdir()) == sorted(
        rank_folder(rank) for rank in range(ranks)
    )
    drawn = set()
    for rank in range(ranks):
        kept = load_file(root / "new" / rank_folder(rank) / OPTIMIZER)
        assert torch.equal(kept[f"0.{KIND}"].view(torch.int32), whole.view(torch.int32))
        assert float(kept["step"]) == 7
        state = json.loads((root / "new" / rank_folder(rank) / STATE).read_text())
        drawn.add(state["random"]["torch"])
    assert len(drawn) == ranks


def test_a_checkpoint_without_one_ranks_shard_is_refused(tmp_path: Path) -> None:
    old = write_checkpoint(tmp_path / "old", torch.randn(100), [30, 60])
    for file in (old / rank_folder(1)).iterdir():
        file.unlink()
    (old / rank_folder(1)).rmdir()

    with pytest.raises(ValueError, match="has no elements from 30 to 60"):
        reshard(old, tmp_path / "new", 2, seed=1)
