"""Models and the aliases that stand for them."""

from typing import Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import path_of


class AsyncModels(AsyncResource):
    """/v1/models."""

    async def list(self) -> list[types.AnyModel]:
        """Every version and alias that the caller may see."""
        page = await self._transport.call("GET", "/v1/models")
        return cast(list[types.AnyModel], page["data"])

    async def retrieve(self, model: str) -> types.AnyModel:
        """A version or an alias, by id or name."""
        return cast(types.AnyModel, await self._transport.call("GET", path_of("models", model)))

    async def forms(self, model: str) -> types.FormComparisonReport:
        """The source of a model and its builds by cost and quality, with the Pareto frontier."""
        found = await self._transport.call("GET", path_of("models", model, "forms"))
        return cast(types.FormComparisonReport, found)

    async def card(self, model: str) -> types.ModelCard:
        """What a version was made from, how, and what was measured, as Markdown."""
        found = await self._transport.call("GET", path_of("models", model, "card"))
        return cast(types.ModelCard, found)

    async def delete(self, model: str) -> types.DeletedModel:
        """Delete an alias, or retire a version with its builds."""
        gone = await self._transport.call("DELETE", path_of("models", model))
        return cast(types.DeletedModel, gone)


class AsyncAliases(AsyncResource):
    """/v1/aliases."""

    async def list(self) -> list[types.Alias]:
        """Every alias of the tenant and of all tenants."""
        page = await self._transport.call("GET", "/v1/aliases")
        return cast(list[types.Alias], page["data"])

    async def set(self, name: str, **body: Unpack[types.AliasBody]) -> types.Alias:
        """Let a name stand for a version, or for several by weight."""
        path = path_of("aliases", name)
        return cast(types.Alias, await self._transport.call("PUT", path, json=body))

    async def delete(self, name: str) -> types.Deleted:
        """Delete an alias."""
        return cast(types.Deleted, await self._transport.call("DELETE", path_of("aliases", name)))
