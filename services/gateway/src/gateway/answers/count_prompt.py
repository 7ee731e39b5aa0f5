"""Count the tokens of a prompt, as an answer to it would."""

from dataclasses import dataclass
from typing import Protocol

from gateway.domain.access import Caller
from gateway.domain.chat import ChatCall
from gateway.domain.models import AskedModel


@dataclass(frozen=True)
class CountedPrompt:
    """How long it is, and by which version's tokenizer."""

    version_id: str
    tokens: int


class FindsModels(Protocol):
    """See `gateway.routing.find_model.FindModel`."""

    def asked(self, tenant: str, name: str) -> AskedModel: ...


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

    async def __call__(self, call: ChatCall, caller: Caller) -> CountedPrompt:
        """The count.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            BadRequestError: it is too long, or the model's template does not take it.
            UnavailableError: inference is not there.
        """
        caller.require_model(call.model)
        asked = self.find_model.asked(caller.tenant, call.model)
        seconds = self.request_seconds
        return await self.engines.count(call, tenant=caller.tenant, asked=asked, timeout=seconds)
