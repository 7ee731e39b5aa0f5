"""A rank's view of a ZeRO run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.distributed.process_group import RankGroup
from modelmill_trainer.training.distributed.zero_update import ZeroUpdate
from modelmill_trainer.training.model import TrainedModel


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
