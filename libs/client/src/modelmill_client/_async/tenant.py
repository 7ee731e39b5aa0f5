"""What a tenant sets and sees: policies, keys, limits, usage, webhooks, feedback and the audit log.

The gateway knows no idempotency key for new API keys and webhooks: a call of these that may have
been done is not repeated.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import PAGE, path_of, present

POLICY = "/v1/moderation/policy"


class AsyncPolicies(AsyncResource):
    """/v1/moderation/policy."""

    async def retrieve(self, *, version: int | None = None) -> types.Policy:
        """The policy in force, or an earlier version, with its documents."""
        found = await self._transport.call("GET", POLICY, params=present({"version": version}))
        return cast(types.Policy, found)

    async def set(self, **body: Unpack[types.PolicyBody]) -> types.PolicyChange:
        """Put a policy in force, or say what it would change (`dry_run`).

        With `expected_digest` it is not repeated: what was done already would be refused.
        """
        may_repeat = body.get("expected_digest") is None
        made = await self._transport.call("PUT", POLICY, json=body, may_repeat=may_repeat)
        return cast(types.PolicyChange, made)

    async def versions(self) -> list[types.PolicyVersion]:
        """Every version, without its documents."""
        page = await self._transport.call("GET", f"{POLICY}/versions")
        return cast(list[types.PolicyVersion], page["data"])

    async def revert(self, **body: Unpack[types.RevertBody]) -> types.PolicyReverted:
        """Go back to an earlier version, or to the shared policy."""
        made = await self._transport.call("POST", f"{POLICY}/revert", json=body)
        return cast(types.PolicyReverted, made)


class AsyncModerations(AsyncResource):
    """/v1/moderations."""

    async def create(self, **body: Unpack[types.ModerationBody]) -> types.Moderation:
        """Judge texts by the tenant's policy."""
        made = await self._transport.call("POST", "/v1/moderations", json=body, may_repeat=True)
        return cast(types.Moderation, made)


class AsyncKeys(AsyncResource):
    """/v1/keys: API keys. A secret is shown once, by the call that made it."""

    async def create(self, **body: Unpack[types.KeyBody]) -> types.IssuedApiKey:
        """Issue a key."""
        return cast(types.IssuedApiKey, await self._transport.call("POST", "/v1/keys", json=body))

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.ApiKey]:
        """Every key, without its secret."""
        return self._transport.each("/v1/keys", after=after, page_size=page_size)

    async def retrieve(self, key_id: str) -> types.ShownApiKey:
        """A key's record, with what it has used."""
        return cast(types.ShownApiKey, await self._transport.call("GET", path_of("keys", key_id)))

    async def update(self, key_id: str, **body: Unpack[types.ChangedKeyBody]) -> types.ApiKey:
        """Change a key: what is absent stays, and None takes a bound away."""
        path = path_of("keys", key_id)
        return cast(types.ApiKey, await self._transport.call("PATCH", path, json=body))

    async def rotate(self, key_id: str) -> types.IssuedApiKey:
        """Give a key another secret."""
        path = path_of("keys", key_id, "rotate")
        return cast(types.IssuedApiKey, await self._transport.call("POST", path))

    async def delete(self, key_id: str) -> types.Deleted:
        """Revoke a key for good."""
        return cast(types.Deleted, await self._transport.call("DELETE", path_of("keys", key_id)))


class AsyncBudget(AsyncResource):
    """/v1/budget: limits of the tenant."""

    async def retrieve(self) -> types.Budget:
        """The limits and what is used of them."""
        return cast(types.Budget, await self._transport.call("GET", "/v1/budget"))

    async def set(self, **body: Unpack[types.BudgetBody]) -> types.Budget:
        """Set all `limits`; what is absent in them is unlimited."""
        return cast(types.Budget, await self._transport.call("PUT", "/v1/budget", json=body))


class AsyncUsage(AsyncResource):
    """/v1/usage."""

    async def list(
        self,
        *,
        start_time: int | None = None,
        last: int | None = None,
        end_time: int | None = None,
        bucket_width: Literal["1m", "1h", "1d"] | None = None,
        group_by: Sequence[Literal["model", "api_key_id", "key", "user_id", "caller"]] = (),
        models: Sequence[str] = (),
        api_key_ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
        page_size: int | None = None,
    ) -> AsyncIterator[types.UsageBucket]:
        """Every bucket of a time, oldest first.

        Args:
            start_time: Unix seconds; without one where the `last` buckets begin.
            last: latest buckets, in place of `start_time`; the gateway has a default.
            end_time: Unix seconds, exclusive; without one now.
            page_size: buckets that are fetched at once.
        """
        given = {"start_time": start_time, "last": last, "end_time": end_time}
        filters = {"models": models, "api_key_ids": api_key_ids, "user_ids": user_ids}
        listed = {name: [*value] or None for name, value in filters.items()}
        listed |= {"group_by": [*group_by] or None}
        query = present({**given, **listed, "bucket_width": bucket_width, "limit": page_size})
        while True:
            page = cast(
                types.UsagePage, await self._transport.call("GET", "/v1/usage", params=query)
            )
            for bucket in page["data"]:
                yield bucket
            if page["next_page"] is None:
                return
            query["page"] = page["next_page"]


class AsyncFeedback(AsyncResource):
    """/v1/feedback."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.FeedbackBody]
    ) -> types.RecordedFeedback:
        """Record feedback on an answer or a verdict."""
        made = await self._transport.call(
            "POST", "/v1/feedback", json=body, idempotency_key=idempotency_key
        )
        return cast(types.RecordedFeedback, made)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.FeedbackRecord]:
        """Every record, newest first."""
        return self._transport.each("/v1/feedback", after=after, page_size=page_size)

    async def retrieve(self, feedback_id: str) -> types.FeedbackRecord:
        """A record."""
        found = await self._transport.call("GET", path_of("feedback", feedback_id))
        return cast(types.FeedbackRecord, found)


class AsyncWebhooks(AsyncResource):
    """/v1/webhooks: endpoints that are told of events. A secret is shown once."""

    async def create(self, **body: Unpack[types.WebhookBody]) -> types.RegisteredWebhook:
        """Register an endpoint."""
        made = await self._transport.call("POST", "/v1/webhooks", json=body)
        return cast(types.RegisteredWebhook, made)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Webhook]:
        """Every endpoint."""
        return self._transport.each("/v1/webhooks", after=after, page_size=page_size)

    async def retrieve(self, webhook_id: str) -> types.Webhook:
        """An endpoint."""
        found = await self._transport.call("GET", path_of("webhooks", webhook_id))
        return cast(types.Webhook, found)

    async def update(
        self, webhook_id: str, **body: Unpack[types.ChangedWebhookBody]
    ) -> types.Webhook:
        """Change an endpoint: what is absent stays."""
        path = path_of("webhooks", webhook_id)
        return cast(types.Webhook, await self._transport.call("PATCH", path, json=body))

    async def rotate(self, webhook_id: str) -> types.RotatedWebhook:
        """Give an endpoint another secret."""
        path = path_of("webhooks", webhook_id, "rotate")
        return cast(types.RotatedWebhook, await self._transport.call("POST", path))

    async def test(self, webhook_id: str) -> types.WebhookTest:
        """Send a test event."""
        path = path_of("webhooks", webhook_id, "test")
        return cast(types.WebhookTest, await self._transport.call("POST", path))

    def deliveries(
        self, webhook_id: str, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.WebhookDelivery]:
        """Attempts to deliver events, newest first."""
        path = path_of("webhooks", webhook_id, "deliveries")
        return self._transport.each(path, after=after, page_size=page_size)

    async def delete(self, webhook_id: str) -> types.Deleted:
        """Delete an endpoint."""
        gone = await self._transport.call("DELETE", path_of("webhooks", webhook_id))
        return cast(types.Deleted, gone)


class AsyncSignIn(AsyncResource):
    """/v1/sign_in."""

    async def list(self) -> list[types.SignInOption]:
        """OpenID providers at which people sign in, for programs with a browser at hand."""
        page = await self._transport.call("GET", "/v1/sign_in")
        return cast(list[types.SignInOption], page["data"])


class AsyncMe(AsyncResource):
    """/v1/me."""

    async def retrieve(self) -> types.CallerIdentity:
        """Whom the token or key names, what it grants, and until when."""
        return cast(types.CallerIdentity, await self._transport.call("GET", "/v1/me"))


class AsyncAudit(AsyncResource):
    """/v1/audit."""

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Change]:
        """Who changed what, newest first."""
        return self._transport.each("/v1/audit", after=after, page_size=page_size)
