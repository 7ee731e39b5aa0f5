"""Models and the names that stand for them, over gRPC."""

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.models import Split
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.schemas.models import AliasBody
from modelmill_gateway.entrypoints.schemas.parsing import parse_fields
from modelmill_gateway.routing.move_alias import DeleteAlias, DeleteModel, MoveAlias
from modelmill_gateway.routing.show_models import ShowModels


class ModelProcedures:
    """ListModels, GetModel, DeleteModel, MoveAlias and DeleteAlias."""

    def __init__(
        self,
        models: ShowModels,
        move_alias: MoveAlias,
        delete_alias: DeleteAlias,
        delete_model: DeleteModel,
    ) -> None:
        self._models = models
        self._move_alias = move_alias
        self._delete_alias = delete_alias
        self._delete_model = delete_model

    async def ListModels(
        self, _: pb.ListModelsRequest, call: RequestContext
    ) -> pb.ListModelsResponse:
        versions = self._models.versions(call.caller)
        by_id = {version.version_id: version for version in versions}
        aliases = self._models.aliases(call.caller)
        shown = [self._aliased(alias, by_id.get(alias.version_id)) for alias in aliases]
        shown += [self._shown(*asked) for asked in self._models.asked_by(call.caller).items()]
        return pb.ListModelsResponse(models=shown)

    async def GetModel(
        self, request: pb.GetModelRequest, call: RequestContext
    ) -> pb.GetModelResponse:
        found = await self._models.one(call.caller, request.model)
        if isinstance(found, ModelReady):
            return pb.GetModelResponse(model=self._shown(request.model, found))
        versions = self._models.versions(call.caller)
        meant = next((v for v in versions if v.version_id == found.version_id), None)
        return pb.GetModelResponse(model=self._aliased(found, meant))

    def _aliased(self, alias: AliasState, version: ModelReady | None) -> pb.Model:
        """The name, with what is known of the version behind it: at least its id."""
        return self._shown(alias.name, version or ModelReady(version_id=alias.version_id))

    def _shown(self, name: str, version: ModelReady) -> pb.Model:
        abilities = self._models.abilities(version.version_id)
        loading = self._models.loading(version.version_id)
        shown = None
        if loading is not None:
            shown = pb.ModelLoading(**vars(loading))
        return pb.Model(id=name, version=version, abilities=abilities, loading=shown)

    async def DeleteModel(
        self, request: pb.DeleteModelRequest, call: RequestContext
    ) -> pb.DeleteModelResponse:
        gone = await self._delete_model(_given(request.version_id, "version_id"), call.caller)
        return pb.DeleteModelResponse(version_ids=gone)

    async def MoveAlias(
        self, request: pb.MoveAliasRequest, call: RequestContext
    ) -> pb.MoveAliasResponse:
        token(request.name, "alias")
        split = _split(request)
        if split is None:
            model = _given(request.model, "model")
            moved = await self._move_alias.to_version(request.name, model, call.caller)
        else:
            moved = await self._move_alias.to_split(request.name, split, call.caller)
        return pb.MoveAliasResponse(alias=moved)

    async def DeleteAlias(
        self, request: pb.DeleteAliasRequest, call: RequestContext
    ) -> pb.DeleteAliasResponse:
        await self._delete_alias(_given(request.name, "name"), call.caller)
        return pb.DeleteAliasResponse()


def _split(request: pb.MoveAliasRequest) -> Split | None:
    """What is asked for beyond a plain version, by the rules of HTTP.

    Raises:
        InvalidInputError: it cannot be, and why.
    """
    shadow = request.shadow
    if not (request.variants or request.HasField("shadow") or request.fallback or request.store):
        return None
    fields = {
        "version_id": request.model or None,
        "variants": [
            {"name": each.name, "version_id": each.model, "weight": each.weight}
            for each in request.variants
        ]
        or None,
        "shadow": {"version_id": shadow.model, "share": shadow.share}
        if request.HasField("shadow")
        else None,
        "fallback": [*request.fallback],
        "store": request.store,
    }
    return parse_fields(fields, AliasBody).split


def _given(text: str, field: str) -> str:
    if not text:
        raise InvalidInputError(f"{field}: must be given")
    return text
