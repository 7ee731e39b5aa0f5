"""The tenant's own policy: shown, put in force, listed and brought back."""

from collections.abc import Iterable

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.bodies.parsing import read_body
from modelmill_gateway.entrypoints.bodies.policy_body import PolicyBody, RevertBody
from modelmill_gateway.entrypoints.http.requests import Handlers, caller_of, json_response
from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds
from modelmill_gateway.entrypoints.views.pages import list_view
from modelmill_gateway.guarding.manage_policy import ManagePolicy


class PolicyRoutes:
    """/v1/moderation/policy."""

    def __init__(self, manage_policy: ManagePolicy) -> None:
        self._manage_policy = manage_policy

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "get_policy": self._get,
            "put_policy": self._put,
            "list_policies": self._list,
            "revert_policy": self._revert,
        }

    async def _get(self, request: Request) -> Response:
        version = _version_of(request)
        found = await self._manage_policy.get(version, caller_of(request))
        return json_response(
            {
                **policy_view(found.policy),
                "documents": _documents_view(found.documents),
                "default_documents": _documents_view(found.default_documents),
                "removed_default_rules": list(found.removed_default_rules),
            }
        )

    async def _put(self, request: Request) -> Response:
        body = await read_body(request, PolicyBody)
        answer = await self._manage_policy.put(
            body.by_name,
            caller_of(request),
            removing=body.remove_default_rules,
            dry_run=body.dry_run,
            expected_digest=body.expected_digest,
        )
        shown = {
            **_change_view(answer, written=answer.written),
            "unconfirmed_default_rules": list(answer.unconfirmed_default_rules),
            "default_documents": _documents_view(answer.default_documents),
        }
        return json_response(shown)

    async def _list(self, request: Request) -> Response:
        versions = await self._manage_policy.versions(caller_of(request))
        return json_response(list_view(versions, policy_view))

    async def _revert(self, request: Request) -> Response:
        body = await read_body(request, RevertBody)
        answer = await self._manage_policy.revert(
            body.version,
            caller_of(request),
            removing=body.remove_default_rules,
            expected_digest=body.expected_digest,
        )
        return json_response(_change_view(answer, written=True))


def policy_view(version: pb.PolicyVersion) -> View:
    """A version; `tenant` is "shared" where the caller's has no policy of its own."""
    return {
        "object": "moderation.policy",
        "tenant": version.tenant,
        "version": version.version,
        "digest": version.digest or None,
        "follows_shared": version.follows_shared,
        "restores_version": version.restores_version or None,
        "changed_by": version.changed_by,
        "changed_at": unix_seconds(version.changed_at),
    }


def _documents_view(documents: Iterable[pb.PolicyDocument]) -> list[View]:
    return [{"name": document.name, "text": document.text} for document in documents]


def _change_view(answer: pb.PutPolicyResponse | pb.RevertPolicyResponse, *, written: bool) -> View:
    changes = answer.changes
    return {
        **policy_view(answer.policy),
        "written": written,
        "changes": {
            "added_rules": list(changes.added_rules),
            "removed_rules": list(changes.removed_rules),
            "changed_rules": list(changes.changed_rules),
            "changed_settings": list(changes.changed_settings),
        },
        "removed_default_rules": list(answer.removed_default_rules),
    }


def _version_of(request: Request) -> int:
    written = request.query_params.get("version", "0")
    if not (written.isascii() and written.isdigit() and len(written) < 16):
        raise BadRequestError("version must be a whole number", param="version")
    return int(written)
