"""Count the tokens of a prompt, as an answer to it would."""

from dataclasses import dataclass, replace
from typing import Protocol

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.models import AskedModel


@dataclass(frozen=True)
class CountedPrompt:
    """How long it is, and by which version's tokenizer."""

    version_id: str
    tokens: int
    variant: str = ""
    """Of an alias that has some."""


class FindsModels(Protocol):
    """See `modelmill_gateway.routing.find_model.FindModel`."""

    async def asked(self, tenant: str, name: str) -> AskedModel: ...


class Counters(Protocol):
    """Inference."""

    async def count(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> CountedPrompt: ...


@dataclass(frozen=True)
class CountPrompt:
    """Nothing is generated, and nothing comes back but a number: no policy judges it."""

    find_model: FindsModels
    engines: Counters
    request_seconds: float

    async def __call__(
        self, call: ChatCall, caller: Caller, *, seconds: float | None = None
    ) -> CountedPrompt:
        """The count.

        Args:
            seconds: what is left of the request's time, when that is less than our own limit.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            BadRequestError: it is too long, or the model's template does not take it.
            UnavailableError, DeadlineError: inference is not there, or late.
        """
        caller.require_model(call.model)
        asked = await self.find_model.asked(caller.tenant, call.model)
        deadline = Deadline(min(self.request_seconds, seconds or self.request_seconds))
        counted = await self.engines.count(
            call, tenant=caller.tenant, asked=asked, timeout=deadline.remaining()
        )
        return replace(counted, variant=asked.variant)
