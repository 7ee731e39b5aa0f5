"""Backward pass and optimizer step with ZeRO (Rajbhandari et al. 2020), by DeepSpeed.

Each rank's partition uses torch's AdamW instead of DeepSpeedCPUAdam. That one keeps powers of its
betas outside its state, so a resume would differ in bits, and needs a compiler at run time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import deepspeed
import torch
from deepspeed.accelerator import get_accelerator
from modelmill_jobs.child import ChildFailure
from peft.tuners.lora import Linear as LoraLayer
from torch import Tensor

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.distribution import FP16, FP32, Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.distributed.pass_synchronizer import PassSynchronizer
from modelmill_trainer.training.distributed.process_group import RankGroup
from modelmill_trainer.training.distributed.zero_config import zero_config
from modelmill_trainer.training.distributed.zero_state import Fragments, fragments_of
from modelmill_trainer.training.model import Compute, TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.token_tree import TokenTree

SHARED_MEMORY = "deepspeed_shm_comm"


class _Pass(torch.nn.Module):
    """Wraps a forward pass as a module, which DeepSpeed needs to gather weights around it."""

    def __init__(self, whole: torch.nn.Module, compute: Compute) -> None:
        super().__init__()
        self.whole = whole
        self._compute = compute

    def forward(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        return self._compute(tree, nodes)


class ZeroUpdate:
    """AdamW over trainable weights that are partitioned among ranks.

    The model is partitioned at the first step, or when a state is loaded.
    """

    def __init__(
        self,
        model: TrainedModel,
        choices: HyperParameters,
        distribution: Distribution,
        ranks: RankGroup,
    ) -> None:
        self._model = model
        self._choices = choices
        self._distribution = distribution
        self._ranks = ranks
        self._synchronizer = PassSynchronizer(ranks)
        self._engine: Any = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._fragments: Fragments | None = None

    @property
    def whole_weights(self) -> dict[str, torch.nn.Parameter]:
        """Empty: this rank's master weights and moments are in `state`."""
        return {}

    def begin(self, objective: Objective, rows: Sequence[TrainingExample]) -> None:
        """See `Update`."""
        objective.begin_step(self._model, rows)

    def losses(self, objective: Objective, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """See `Update`; for every n-th row, padded with losses of weight 0."""
        self._partition()
        part = rows[self._ranks.rank :: self._ranks.size]
        own = objective.losses(self._model, part) if part else iter(())
        return self._synchronizer.padded(own, lambda: objective.losses(self._model, rows[:1]))

    def backward(self, loss: Tensor) -> None:
        """See `Update`."""
        # DeepSpeed averages gradients over the ranks; the loop needs the sum.
        self._engine.backward(loss * self._ranks.size, scale_wrt_gas=False)

    def zero_grad(self) -> None:
        """See `Update`. Never called: ranks complete every step."""
        raise NotImplementedError("ranks complete every step")

    def apply(self, rate: float) -> float:
        """See `Update`. Returns 0 for a float16 overflow: DeepSpeed skips the step and lowers the
        loss scale, down to a minimum."""
        assert self._optimizer is not None
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        scaler = self._engine.optimizer.loss_scaler
        smaller = scaler.dynamic and scaler.cur_scale > scaler.min_scale
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm())
        return 0.0 if smaller and not math.isfinite(norm) else norm

    def state(self) -> dict[str, Tensor]:
        """See `Update`; this rank's shard of master weights and moments."""
        assert self._fragments is not None
        return self._fragments.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See `Update`."""
        self._partition()
        assert self._fragments is not None
        self._fragments.load(state)

    def gathered_weights(self) -> dict[str, Tensor]:
        """All master weights in the leader; empty in other ranks."""
        self._partition()
        assert self._fragments is not None
        return self._fragments.whole(keep=self._ranks.is_leader)

    def _partition(self) -> None:
        """Partition the model among the ranks. Idempotent; all ranks must call it together."""
        if self._engine is not None:
            return
        self._model.wrap_passes(self._partitioned)
        # Different seeds per rank, so that dropout differs between rows.
        torch.manual_seed(self._choices.seed + self._ranks.rank)

    def _partitioned(self, compute: Compute) -> Compute:
        module: Any = self._model.module
        if self._distribution.precision == FP16:
            _refuse_without_float16()
        trainable = self._model.trainable
        if self._distribution.precision == FP32:
            module.float()
        # LoRA layers run as one operation: gather their weights together.
        for layer in module.modules():
            if isinstance(layer, LoraLayer):
                deepspeed.utils.set_z3_leaf_module(layer, True)
        if self._model.learns_by_adapter:
            # Without gradients at a layer's input, DeepSpeed would release its weights at the start
            # of its backward pass instead of the end.
            module.enable_input_require_grads()
        self._optimizer = torch.optim.AdamW(
            list(trainable.values()), lr=0.0, weight_decay=self._choices.weight_decay, fused=True
        )
        # DeepSpeed's shared-memory op would be compiled now, for a minute, and spins if a rank is
        # killed. gloo needs no compiler and detects dead ranks.
        deepspeed.ops.__compatible_ops__[SHARED_MEMORY] = False
        config = zero_config(self._distribution, self._choices, module.config.hidden_size)
        self._engine, *_ = deepspeed.initialize(
            model=_Pass(module, compute), optimizer=self._optimizer, config=config
        )
        self._fragments = fragments_of(self._engine.optimizer, trainable, self._ranks)
        # The loop itself rejects overflows at the smallest scale.
        self._engine.optimizer.loss_scaler.raise_error_at_min_scale = False
        return self._synchronized_pass

    def _synchronized_pass(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        self._synchronizer.synchronize()
        logits: Tensor = self._engine(tree, nodes)
        return logits


def _refuse_without_float16() -> None:
    if not get_accelerator().is_fp16_supported():
        raise ChildFailure(
            "PRECISION_NOT_HERE",
            "the workers' processors do not support float16",
            "Choose precision BF16 or FP32.",
        )


class ZeroRun:
    """See `modelmill_trainer.training.run_setup.DistributedRun`."""

    def __init__(self, request: TrainRequest, ranks: RankGroup) -> None:
        self.ranks = ranks
        self._request = request
        self._update: ZeroUpdate | None = None
        self._replacement: dict[str, Tensor] = {}

    @classmethod
    @contextmanager
    def joined(cls, request: Mapping[str, Any]) -> Iterator["ZeroRun"]:
        """Join the process group for the duration of the block."""
        ranks = RankGroup()
        yield cls(TrainRequest.from_json(request), ranks)
        # Not after a failure: closing waits for ranks that may be waiting for this one.
        ranks.close()

    def update_of(self, model: TrainedModel) -> ZeroUpdate:
        """See `DistributedRun`."""
        distribution = self._request.distribution
        assert distribution is not None
        self._update = ZeroUpdate(model, self._request.hyper_parameters, distribution, self.ranks)
        return self._update

    @property
    def weights(self) -> "ZeroRun":
        """See `DistributedRun`."""
        return self

    def snapshot(self) -> dict[str, Tensor]:
        """See `TrainableWeights`."""
        assert self._update is not None
        return self._update.gathered_weights()

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """See `TrainableWeights`."""
        self._replacement = dict(weights)

    def result(self) -> dict[str, Tensor]:
        """See `DistributedRun`."""
        gathered = self.snapshot()
        return self._replacement or gathered
