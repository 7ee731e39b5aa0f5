"""Models and the names that stand for them."""

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.subjects import token
from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.base import Deleted, WholeList
from modelmill_gateway.entrypoints.schemas.form_candidates import FormComparisonReport
from modelmill_gateway.entrypoints.schemas.models import (
    Alias,
    AliasBody,
    Capabilities,
    DeletedModel,
    Loading,
    ModelAlias,
    ModelCard,
    ModelList,
    ModelVersion,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.routing.compare_forms import CompareForms
from modelmill_gateway.routing.move_alias import DeleteAlias, DeleteModel, MoveAlias
from modelmill_gateway.routing.read_model_card import ReadModelCard
from modelmill_gateway.routing.show_models import ShowModels


class ModelRoutes:
    """/v1/models and /v1/aliases."""

    def __init__(
        self,
        models: ShowModels,
        move_alias: MoveAlias,
        delete_alias: DeleteAlias,
        delete_model: DeleteModel,
        compare_forms: CompareForms,
        read_model_card: ReadModelCard,
    ) -> None:
        self._models = models
        self._read_model_card = read_model_card
        self._compare_forms = compare_forms
        self._move_alias = move_alias
        self._delete_alias = delete_alias
        self._delete_model = delete_model

    async def list_models(self, request: Request) -> ModelList:
        caller = caller_of(request)
        aliases = [self._alias(alias) for alias in self._models.aliases(caller)]
        versions = [self._version(*asked) for asked in self._models.asked_by(caller).items()]
        return ModelList(data=[*aliases, *versions])

    async def get_model(self, request: Request) -> ModelAlias | ModelVersion:
        caller, name = caller_of(request), request.path_params["model"]
        found = await self._models.one(caller, name)
        if isinstance(found, AliasState):
            return self._alias(found)
        return self._version(found.version_id if caller.may_ask(found.version_id) else name, found)

    async def compare_forms(self, request: Request) -> FormComparisonReport:
        model = request.path_params["model"]
        return FormComparisonReport.of_comparison(
            await self._compare_forms.of_model(caller_of(request), model)
        )

    async def get_model_card(self, request: Request) -> ModelCard:
        card = await self._read_model_card(caller_of(request), request.path_params["model"])
        return ModelCard(id=card.version_id, card=card.card)

    def _version(self, model: str, version: ModelReady) -> ModelVersion:
        """The version, with what its reader may ask for it by."""
        serving, served = self._models.serving(version), self._served(version.version_id)
        shown = ModelVersion.of_version(version, serving_version_id=serving, **served)
        return shown.model_copy(update={"id": model})

    def _alias(self, alias: AliasState) -> ModelAlias:
        return ModelAlias.of(alias, **self._served(alias.version_id))

    def _served(self, version_id: str) -> dict[str, Capabilities | Loading | None]:
        """What inference tells of a version."""
        loading = self._models.loading(version_id)
        return {
            "capabilities": Capabilities.of_abilities(self._models.abilities(version_id)),
            "loading": Loading.of(loading) if loading else None,
        }

    async def delete_model(self, request: Request) -> DeletedModel:
        model = request.path_params["model"]
        version_ids = await self._delete_model(model, caller_of(request))
        return DeletedModel(id=model, object="model", version_ids=list(version_ids))

    async def list_aliases(self, request: Request) -> WholeList[Alias]:
        aliases = self._models.aliases(caller_of(request))
        return WholeList(data=[Alias.of_alias(alias) for alias in aliases])

    async def move_alias(self, request: Request) -> Alias:
        name = request.path_params["name"]
        token(name, "alias")
        body = await read_body(request, AliasBody)
        caller, split = caller_of(request), body.split
        if split is None:
            moved = await self._move_alias.to_version(name, body.version_id or "", caller)
        else:
            moved = await self._move_alias.to_split(name, split, caller)
        return Alias.of_alias(moved)

    async def delete_alias(self, request: Request) -> Deleted:
        name = request.path_params["name"]
        await self._delete_alias(name, caller_of(request))
        return Deleted(id=name, object="alias")
