"""Count the tokens of a prompt, as an answer to it would."""

from dataclasses import dataclass, replace

from modelmill_gateway.answers.admission_queue import AdmissionQueue
from modelmill_gateway.answers.answer_chat import prompt_tokens
from modelmill_gateway.domain.chat import ChatCall, CountedPrompt
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.ports import Engines
from modelmill_gateway.routing.find_model import FindModel


@dataclass(frozen=True)
class CountPrompt:
    """Nothing is generated, and nothing comes back but a number: no policy judges it."""

    queue: AdmissionQueue
    find_model: FindModel
    engines: Engines
    request_seconds: float

    async def __call__(self, call: ChatCall, request: RequestContext) -> CountedPrompt:
        """The count, after a wait for room if need be.

        Raises:
            FullError: the wait would be long.
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            BadRequestError: it is too long, or the model's template does not take it.
            UnavailableError, DeadlineError: inference is not there, or late.
        """
        tenant, deadline = request.caller.tenant, request.deadline(self.request_seconds)
        async with self.queue.held("count", tenant, prompt_tokens(call), deadline):
            request.caller.require_model(call.model)
            asked = await self.find_model.asked(tenant, call.model)
            counted = await self.engines.count(
                call, tenant=tenant, asked=asked, timeout=deadline.remaining()
            )
        return replace(counted, variant=asked.variant)
