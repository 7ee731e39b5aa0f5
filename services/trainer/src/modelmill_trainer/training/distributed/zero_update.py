"""Backward pass and optimizer step of a run whose state is divided among ranks by ZeRO.

Rajbhandari et al. 2020, by DeepSpeed. The optimizer is torch's AdamW on each rank's partition, and
not DeepSpeed's own for processors: that one keeps powers of its betas beside its state, which a
resumed run would compute to other bits, and needs a compiler where it runs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import deepspeed
import torch
from deepspeed.accelerator import get_accelerator
from modelmill_jobs.child import ChildFailure
from peft.tuners.lora import Linear as LoraLayer
from torch import Tensor

from modelmill_trainer.domain.distribution import FP16, FP32, Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.distributed.keeping_pace import Pace
from modelmill_trainer.training.distributed.process_group import ProcessGroup
from modelmill_trainer.training.distributed.zero_config import zero_config
from modelmill_trainer.training.distributed.zero_state import Fragments, fragments_of
from modelmill_trainer.training.model import Compute, TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.token_tree import TokenTree

SHARED_MEMORY = "deepspeed_shm_comm"


class _Pass(torch.nn.Module):
    """A forward pass of a model as a module's, around which DeepSpeed gathers weights."""

    def __init__(self, whole: torch.nn.Module, compute: Compute) -> None:
        super().__init__()
        self.whole = whole
        self._compute = compute

    def forward(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        return self._compute(tree, nodes)


class ZeroUpdate:
    """AdamW over the trainable weights of a model that is divided among ranks.

    The model is whole until the first step, or until a state is loaded.
    """

    def __init__(
        self,
        model: TrainedModel,
        choices: HyperParameters,
        distribution: Distribution,
        ranks: ProcessGroup,
    ) -> None:
        self._model = model
        self._choices = choices
        self._distribution = distribution
        self._ranks = ranks
        self._pace = Pace(ranks)
        self._engine: Any = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._fragments: Fragments | None = None

    @property
    def whole_weights(self) -> dict[str, torch.nn.Parameter]:
        """None: masters and moments of this rank's part are in `state`."""
        return {}

    def begin(self, objective: Objective, rows: Sequence[Example]) -> None:
        """See `Update`."""
        objective.begin_step(self._model, rows)

    def losses(self, objective: Objective, rows: Sequence[Example]) -> Iterator[Tensor]:
        """See `Update`; of every n-th row, and of weight 0 where others have more."""
        self._divide()
        part = rows[self._ranks.rank :: self._ranks.size]
        own = objective.losses(self._model, part) if part else iter(())
        return self._pace.kept(own, lambda: objective.losses(self._model, rows[:1]))

    def backward(self, loss: Tensor) -> None:
        """See `Update`."""
        # The ranks' gradients are averaged, and shall be added up.
        self._engine.backward(loss * self._ranks.size, scale_wrt_gas=False)

    def forget(self) -> None:
        """See `Update`. Never asked for: ranks end the steps that they have begun."""
        raise NotImplementedError("ranks end the steps that they have begun")

    def apply(self, rate: float) -> float:
        """See `Update`. 0 in a step that float16 was too narrow for: no weight has changed, and
        the next are computed on a smaller scale, while there is one."""
        assert self._optimizer is not None
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        scaler = self._engine.optimizer.loss_scaler
        smaller = scaler.dynamic and scaler.cur_scale > scaler.min_scale
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm())
        return 0.0 if smaller and not math.isfinite(norm) else norm

    def state(self) -> dict[str, Tensor]:
        """See `Update`; master weights and moments of this rank's part."""
        assert self._fragments is not None
        return self._fragments.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See `Update`."""
        self._divide()
        assert self._fragments is not None
        self._fragments.load(state)

    def gathered_weights(self) -> dict[str, Tensor]:
        """The master weights, whole, in the leading rank; nothing in the others."""
        self._divide()
        assert self._fragments is not None
        return self._fragments.whole(keep=self._ranks.leads)

    def _divide(self) -> None:
        """Divide the model as it is now among the ranks. Once; every rank at the same time."""
        if self._engine is not None:
            return
        self._model.wrap_passes(self._divided)
        # The same noise in every rank would be noise for fewer rows.
        torch.manual_seed(self._choices.seed + self._ranks.rank)

    def _divided(self, compute: Compute) -> Compute:
        module: Any = self._model.module
        if self._distribution.precision == FP16:
            _refuse_without_float16()
        trainable = self._model.trainable
        if self._distribution.precision == FP32:
            module.float()
        # What one operation uses together is gathered together.
        for layer in module.modules():
            if isinstance(layer, LoraLayer):
                deepspeed.utils.set_z3_leaf_module(layer, True)
        if self._model.learns_by_adapter:
            # Where nothing before a layer learns, DeepSpeed would let go of the layer's weights at
            # the beginning of its backward pass instead of the end.
            module.enable_input_require_grads()
        self._optimizer = torch.optim.AdamW(
            list(trainable.values()), lr=0.0, weight_decay=self._choices.weight_decay, fused=True
        )
        # Sums through shared memory would be compiled here and now, for a minute, and where a rank
        # is killed the others would spin; gloo needs no compiler and notices.
        deepspeed.ops.__compatible_ops__[SHARED_MEMORY] = False
        config = zero_config(self._distribution, self._choices, module.config.hidden_size)
        self._engine, *_ = deepspeed.initialize(
            model=_Pass(module, compute), optimizer=self._optimizer, config=config
        )
        self._fragments = fragments_of(self._engine.optimizer, trainable, self._ranks)
        # What is too much for the smallest scale, the loop refuses.
        self._engine.optimizer.loss_scaler.raise_error_at_min_scale = False
        return self._together

    def _together(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        self._pace.meet()
        logits: Tensor = self._engine(tree, nodes)
        return logits


def _refuse_without_float16() -> None:
    if not get_accelerator().is_fp16_supported():
        raise ChildFailure(
            "PRECISION_NOT_HERE",
            "the workers' processors do not compute in float16",
            "Choose precision BF16 or FP32.",
        )
