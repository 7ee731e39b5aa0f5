"""Models and the names that stand for them."""

from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.subjects import token
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.split import Split
from modelmill_gateway.entrypoints.bodies.alias_body import AliasBody
from modelmill_gateway.entrypoints.http.requests import Handlers, caller_of, json_response
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.views.job_views import View
from modelmill_gateway.entrypoints.views.model_views import (
    alias_as_model_view,
    alias_view,
    listed_model_view,
    served_fields,
)
from modelmill_gateway.entrypoints.views.pages import deleted_view, list_view
from modelmill_gateway.routing.delete_model import DeleteModel
from modelmill_gateway.routing.move_alias import DeleteAlias
from modelmill_gateway.routing.show_models import ShowModels


class MovesAliases(Protocol):
    """See `modelmill_gateway.routing.move_alias.MoveAlias`."""

    async def __call__(self, name: str, version_id: str, caller: Caller) -> AliasState: ...


class SplitsAliases(Protocol):
    """See `modelmill_gateway.routing.move_alias.SplitAlias`."""

    async def __call__(self, name: str, split: Split, caller: Caller) -> AliasState: ...


class ModelRoutes:
    """/v1/models and /v1/aliases."""

    def __init__(
        self,
        models: ShowModels,
        move_alias: MovesAliases,
        split_alias: SplitsAliases,
        delete_alias: DeleteAlias,
        delete_model: DeleteModel,
    ) -> None:
        self._models = models
        self._move_alias = move_alias
        self._split_alias = split_alias
        self._delete_alias = delete_alias
        self._delete_model = delete_model

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "list_models": self._list_models,
            "get_model": self._get_model,
            "list_aliases": self._list_aliases,
            "move_alias": self._put_alias,
            "delete_alias": self._remove_alias,
            "delete_model": self._delete,
        }

    async def _list_models(self, request: Request) -> Response:
        caller = caller_of(request)
        aliases = [self._alias(alias) for alias in self._models.aliases(caller)]
        versions = [self._version(version) for version in self._models.versions(caller)]
        return json_response({"object": "list", "data": aliases + versions})

    async def _get_model(self, request: Request) -> Response:
        found = await self._models.one(caller_of(request), request.path_params["model"])
        if isinstance(found, AliasState):
            return json_response(self._alias(found))
        return json_response(self._version(found))

    def _version(self, version: ModelReady) -> View:
        served = self._served(version.version_id)
        return listed_model_view(version, self._models.serving(version), served)

    def _alias(self, alias: AliasState) -> View:
        return alias_as_model_view(alias, self._served(alias.version_id))

    def _served(self, version_id: str) -> View:
        models = self._models
        return served_fields(models.abilities(version_id), models.loading(version_id))

    async def _delete(self, request: Request) -> Response:
        version_ids = await self._delete_model(request.path_params["model"], caller_of(request))
        view = deleted_view("model", request.path_params["model"])
        return json_response({**view, "version_ids": list(version_ids)})

    async def _list_aliases(self, request: Request) -> Response:
        return json_response(list_view(self._models.aliases(caller_of(request)), alias_view))

    async def _put_alias(self, request: Request) -> Response:
        name = request.path_params["name"]
        token(name, "alias")
        body = await read_body(request, AliasBody)
        caller, split = caller_of(request), body.split
        if split is None:
            moved = await self._move_alias(name, body.version_id or "", caller)
        else:
            moved = await self._split_alias(name, split, caller)
        return json_response(alias_view(moved))

    async def _remove_alias(self, request: Request) -> Response:
        name = request.path_params["name"]
        await self._delete_alias(name, caller_of(request))
        return json_response(deleted_view("alias", name))
