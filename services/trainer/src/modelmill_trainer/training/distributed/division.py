"""A run divided by ZeRO, as one of its ranks sees it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.training.distributed.process_group import ProcessGroup
from modelmill_trainer.training.distributed.zero_update import ZeroUpdate
from modelmill_trainer.training.model import TrainedModel


class ZeroDivision:
    """See `modelmill_trainer.training.run_setup.Division`."""

    def __init__(self, request: TrainRequest, ranks: ProcessGroup) -> None:
        self.ranks = ranks
        self._request = request
        self._update: ZeroUpdate | None = None
        self._instead: dict[str, Tensor] = {}

    @classmethod
    @contextmanager
    def joined(cls, request: Mapping[str, Any]) -> Iterator["ZeroDivision"]:
        """Meet the other ranks; within the block this process is one of them."""
        ranks = ProcessGroup()
        yield cls(TrainRequest.from_json(request), ranks)
        # Not after a failure: others may be waiting for this rank, and it would wait for them.
        ranks.close()

    def update_of(self, model: TrainedModel) -> ZeroUpdate:
        """See `Division`."""
        distribution = self._request.distribution
        assert distribution is not None
        self._update = ZeroUpdate(model, self._request.hyper_parameters, distribution, self.ranks)
        return self._update

    @property
    def weights(self) -> "ZeroDivision":
        """See `Division`."""
        return self

    def copied(self) -> dict[str, Tensor]:
        """See `Weights`."""
        assert self._update is not None
        return self._update.gathered_weights()

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """See `Weights`."""
        self._instead = dict(weights)

    def result(self) -> dict[str, Tensor]:
        """See `Division`."""
        gathered = self.copied()
        return self._instead or gathered
