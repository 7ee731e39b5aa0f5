"""The client itself."""

import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import httpx

from modelmill_client import types
from modelmill_client._async.experiments import AsyncExperiments
from modelmill_client._async.files import AsyncDatasets, AsyncFiles, AsyncUploads
from modelmill_client._async.jobs import (
    AsyncBatches,
    AsyncEvaluations,
    AsyncFineTuning,
    AsyncJobs,
    AsyncOptimizations,
)
from modelmill_client._async.logs import AsyncLogs
from modelmill_client._async.models import AsyncAliases, AsyncModels
from modelmill_client._async.tenant import (
    AsyncAudit,
    AsyncBudget,
    AsyncFeedback,
    AsyncKeys,
    AsyncMe,
    AsyncModerations,
    AsyncPolicies,
    AsyncSignIn,
    AsyncUsage,
    AsyncWebhooks,
)
from modelmill_client._async.tenants import (
    AsyncAlerts,
    AsyncCapacity,
    AsyncFindings,
    AsyncStatus,
    AsyncTenants,
)
from modelmill_client._async.transport import AsyncTransport
from modelmill_client.errors import SetupError
from modelmill_client.wire import Address, Retries, Token

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TIMEOUT_SECONDS = 120.0


class AsyncModelmill:
    """The gateway's API. Use it in a `with` block, or close it.

    Args:
        url: the gateway's address; without one MODELMILL_URL.
        token: a token or API key, or a function that gives the one to use now; without one
            MODELMILL_TOKEN.
        timeout: seconds that a connection, a write or a silence may last.
        verify: False, or a context of your own for an `https` address.
        transport: in place of connections; for tests, proxies and sockets of your own.

    Raises:
        SetupError: no address, no token, or no address that is one.
    """

    def __init__(
        self,
        url: str | None = None,
        token: Token | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT_SECONDS,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._use(
            AsyncTransport.connect(
                Address.find(url, token),
                timeout=timeout,
                retries=retries,
                verify=verify,
                transport=transport,
            )
        )

    def _use(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self.files = AsyncFiles(transport)
        self.uploads = AsyncUploads(transport)
        self.datasets = AsyncDatasets(transport)
        self.fine_tuning = AsyncFineTuning(transport)
        self.optimizations = AsyncOptimizations(transport)
        self.evaluations = AsyncEvaluations(transport)
        self.batches = AsyncBatches(transport)
        self.jobs = AsyncJobs(transport)
        self.models = AsyncModels(transport)
        self.aliases = AsyncAliases(transport)
        self.experiments = AsyncExperiments(transport)
        self.logs = AsyncLogs(transport)
        self.policies = AsyncPolicies(transport)
        self.moderations = AsyncModerations(transport)
        self.feedback = AsyncFeedback(transport)
        self.keys = AsyncKeys(transport)
        self.budget = AsyncBudget(transport)
        self.usage = AsyncUsage(transport)
        self.webhooks = AsyncWebhooks(transport)
        self.audit = AsyncAudit(transport)
        self.me = AsyncMe(transport)
        self.sign_in = AsyncSignIn(transport)
        self.status = AsyncStatus(transport)
        self.capacity = AsyncCapacity(transport)
        self.findings = AsyncFindings(transport)
        self.alerts = AsyncAlerts(transport)
        self.tenants = AsyncTenants(transport)

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._transport.address.url

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        retries: Retries | None = None,
    ) -> "AsyncModelmill":
        """The same client with another timeout or other retries; both share their connections."""
        of = self._transport
        other = object.__new__(AsyncModelmill)
        other._use(
            AsyncTransport(
                of.address,
                of.http,
                timeout=of.timeout if timeout is None else timeout,
                retries=of.retries if retries is None else retries,
            )
        )
        return other

    async def generate(self, **body: Unpack[types.GenerateBody]) -> types.GeneratedText:
        """One answer to one prompt, by the default model where none is named."""
        return cast(types.GeneratedText, await self.request("POST", "/generate", json=body))

    async def health(self) -> types.Health:
        """That the gateway is alive; it is also `ready` when it takes requests."""
        return cast(types.Health, await self.request("GET", "/healthz"))

    async def ready(self) -> types.Health:
        """That the gateway takes requests.

        Raises:
            ApiStatusError: it does not, yet or any more.
        """
        return cast(types.Health, await self.request("GET", "/readyz"))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """The JSON that any path answers, for what has no method here."""
        return await self._transport.call(
            method, path, json=json, params=params, idempotency_key=idempotency_key
        )

    def openai(self) -> "AsyncOpenAI":
        """The unmodified OpenAI SDK, pointed at the gateway, with the token as it is now.

        Raises:
            SetupError: the SDK is not installed.
        """
        # It takes most of a second to load, which every other program would pay as well.
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise SetupError(
                "the OpenAI SDK is not installed. Add it by `pip install modelmill-client[openai]`"
            ) from error
        address = self._transport.address
        return AsyncOpenAI(
            base_url=f"{address.url}/v1",
            api_key=address.current_token(),
            max_retries=self._transport.retries.times,
        )

    async def aclose(self) -> None:
        """Make no more calls, of those with other options either."""
        await self._transport.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
