"""A frozen decoder computed by few operations says, and teaches, what its modules would."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_testkit.models import make_tiny_deepseek, make_tiny_llama, make_tiny_qwen
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training import model as model_module
from modelmill_trainer.training.fused import block_attention
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree
from torch import Tensor
from trainer_support.trained_adapters import load

pytestmark = pytest.mark.heavy

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama": make_tiny_llama,
    "qwen2": partial(make_tiny_qwen, version=2),
    "qwen3": partial(make_tiny_qwen, version=3),
    "deepseek3": make_tiny_deepseek,
}
FUSED = ("llama", "qwen2")
SOME_ROWS = [[token % 60 for token in range(first, first + 90)] for first in (0, 1, 7, 20)]
ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=8)
"""Of few words, so that they begin alike."""


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32, where a difference is a mistake and not a rounding."""
    torch.set_num_threads(1)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("fused")
    return {name: make(root / name) for name, make in FAMILIES.items()}


def by_modules(model: TrainedModel) -> TrainedModel:
    """From here on its modules compute."""
    model.wrap_passes(lambda compute: compute)
    return model


def tree_of(rows: Sequence[Sequence[int]]) -> TokenTree:
    tree = TokenTree()
    for row in rows:
        tree.add(row)
    return tree


def said_and_taught(model: TrainedModel, tree: TokenTree) -> list[Tensor]:
    """Scores after every node, and the gradient of each adapter's weight."""
    for weight in model.trainable.values():
        weight.grad = None
    scores = model.logits(tree, range(len(tree)))
    scores.square().mean().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in model.trainable.values()]
    assert all(one is not None for one in gradients)
    return [scores.detach(), *(one for one in gradients if one is not None)]


def assert_same(ours: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    # What cancels out to almost nothing is left with the rounding of what cancelled.
    rounding = 1e-6 * max(float(other.norm()) for other in others)
    for one, other in zip(ours, others, strict=True):
        assert float((one - other).norm()) < 1e-4 * float(other.norm()) + rounding


@pytest.mark.parametrize("family", FUSED)
@settings(max_examples=12, deadline=None)
@given(rows=ROWS, block=st.sampled_from([1, 3, 16, 128]))
def test_any_tree_and_block_size_give_the_modules_results(
    bases: dict[str, Path], family: str, rows: list[list[int]], block: int
) -> None:
    tree = tree_of(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_attention, "BLOCK_NODES", block)
        ours = said_and_taught(load(bases[family]), tree)
    assert_same(ours, said_and_taught(by_modules(load(bases[family])), tree))


@pytest.mark.parametrize("family", FUSED)
@pytest.mark.parametrize("targets", [("q_proj",), ("v_proj", "up_proj"), ("o_proj", "down_proj")])
def test_adapters_on_some_layers_get_the_modules_gradients(
    bases: dict[str, Path], family: str, targets: tuple[str, ...]
) -> None:
    choices = decide("lora", {"lora_rank": 4, "target_modules": targets})
    tree = tree_of(SOME_ROWS)

    assert_same(
        said_and_taught(load(bases[family], choices), tree),
        said_and_taught(by_modules(load(bases[family], choices)), tree),
    )


@pytest.mark.parametrize("family", FUSED)
def test_with_adapters_disabled_it_computes_the_base(bases: dict[str, Path], family: str) -> None:
    tree, model = tree_of(SOME_ROWS), load(bases[family])
    base = TrainedModel.load_frozen(bases[family])

    with torch.no_grad(), model.as_base():
        alone = model.logits(tree, range(len(tree)))
    with torch.no_grad():
        assert torch.equal(alone, base.logits(tree, range(len(tree))))
        assert not torch.equal(alone, model.logits(tree, range(len(tree))))


@pytest.mark.parametrize("family", FUSED)
def test_a_pass_saves_less_than_a_third_of_the_modules_activations(
    bases: dict[str, Path], family: str
) -> None:
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    def bytes_of(model: TrainedModel) -> int:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.states(tree_of(SOME_ROWS), [0])
        return sum(kept.values())

    assert bytes_of(load(bases[family])) < bytes_of(by_modules(load(bases[family]))) / 3


@pytest.mark.parametrize(
    ("family", "method", "values"),
    [
        ("qwen3", "lora", {"lora_rank": 4}),
        ("deepseek3", "lora", {"lora_rank": 4}),
        ("llama", "lora", {"lora_rank": 4, "lora_dropout": 0.1}),
        ("llama", "full", {}),
        ("llama", "prefix", {}),
    ],
)
def test_unsupported_models_are_computed_by_the_modules(
    bases: dict[str, Path], family: str, method: str, values: dict[str, object]
) -> None:
    plain, known = load(bases[family], decide(method, values)), load(bases["llama"])

    assert plain.pack_nodes < known.pack_nodes


@pytest.mark.parametrize("is_narrow", [True, False], ids=["in-bfloat16", "in-float32"])
@pytest.mark.parametrize("family", FUSED)
def test_a_fully_trained_model_is_evaluated_fused_and_unchanged(
    monkeypatch: pytest.MonkeyPatch, bases: dict[str, Path], family: str, is_narrow: bool
) -> None:
    tree = tree_of(SOME_ROWS)
    model = load(bases[family], decide("full", {}))
    with torch.no_grad():
        for weight in model.trainable.values():
            weight.copy_(weight.to(torch.bfloat16).float() * (1 if is_narrow else 1.001))
    before = {name: weight.detach().clone() for name, weight in model.trainable.items()}
    objects = list(model.trainable.values())
    said = scores_of(model, tree)
    monkeypatch.setattr(model_module, "compute_dtype", lambda: torch.bfloat16)

    with model.as_frozen():
        assert model.compute_format == ("bfloat16" if is_narrow else "float32")
        assert model.pack_nodes == load(bases[family]).pack_nodes
        assert not model.trainable
        asked = scores_of(model, tree)

    assert float((asked - said).norm()) < (5e-2 if is_narrow else 1e-5) * float(said.norm())
    # An optimizer holds the very objects.
    assert list(map(id, model.trainable.values())) == list(map(id, objects))
    assert all(torch.equal(weight, before[name]) for name, weight in model.trainable.items())
    assert torch.equal(scores_of(model, tree), said)


def test_distributed_and_adapted_models_are_evaluated_unchanged(bases: dict[str, Path]) -> None:
    divided, adapted = by_modules(load(bases["llama"], decide("full", {}))), load(bases["llama"])

    for model in (divided, adapted):
        with model.as_frozen():
            assert model.trainable


def scores_of(model: TrainedModel, tree: TokenTree) -> Tensor:
    with torch.no_grad():
        return model.logits(tree, range(len(tree)))
