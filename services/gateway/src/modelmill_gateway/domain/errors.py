"""What the gateway refuses beyond the errors that every service knows."""

from collections.abc import Sequence

from modelmill_service_kit.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    UnavailableError,
)


class BadRequestError(InvalidInputError):
    """The request cannot be answered as it is.

    `param` is the field at fault when there is one, `code` a stable word that clients may test.
    """

    def __init__(
        self, errors: str | Sequence[str], *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(errors)
        self.param = param
        self.code = code


def unsupported(*names: str) -> BadRequestError:
    """Fields whose values would change the answer and are not served; all by name."""
    errors = [f"{name}: not supported here, or not with this value. Leave it out" for name in names]
    return BadRequestError(errors, param=names[0], code="unsupported_parameter")


class MethodNotAllowedError(BadRequestError):
    """The path is known, but not with this method."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this path takes {', '.join(allowed)}", code="method_not_allowed")
        self.allowed = tuple(allowed)


class UnsupportedEncodingError(BadRequestError):
    """The body, or a part of it, is compressed or encoded; it is read only as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="content-encoding", code="unsupported_encoding")


class ContentPolicyError(BadRequestError):
    """The policy blocks the input. Names rules and categories, never the text that matched."""

    def __init__(
        self, rules: Sequence[tuple[str, str]], policy_digest: str, *, param: str = "messages"
    ) -> None:
        named = ", ".join(f"{rule_id} ({category})" for rule_id, category in rules)
        super().__init__(f"the input breaks the content policy: {named}", param=param)
        self.code = "content_policy_violation"
        self.rules = tuple(rules)
        self.policy_digest = policy_digest


class DefaultRulesError(PreconditionError):
    """A policy would take default rules out of force that the request does not let go by name."""

    reason = "DEFAULT_RULES_WOULD_GO"
    code = "default_rules_would_go"

    def __init__(self, rules: Sequence[str]) -> None:
        super().__init__(
            f"these default rules would no longer be in force: {', '.join(rules)}. Keep them, or"
            " name them in remove_default_rules"
        )
        self.rules = tuple(rules)


class ModerationAwayError(UnavailableError):
    """Moderation does not answer: nothing passes unless the policy lets its rules judge alone."""


class ModerationLateError(ModerationAwayError):
    """It was asked and gave no verdict in the time that it had."""


class FullError(UnavailableError):
    """We have no room for it now, whoever asks: 503, where 429 would blame the caller's quota."""

    reason = "OVERLOADED"


class ModelNotFoundError(NotFoundError):
    """No model of that name, or none that can do what was asked."""


class NoDefaultModelError(ModelNotFoundError):
    """No model is named, none is the default, and which one is meant does not follow."""

    def __init__(self, default: str, served: int) -> None:
        several = (
            f"{served} models are served and none is the default. Name one as `model`, or make one"
            f" the default with `mill models alias {default} MODEL`, which is PUT /v1/aliases"
            f"/{default}"
        )
        none = (
            f"the model {default!r} does not exist, nor any other. Bring one in with"
            " `mill models import FOLDER`"
        )
        super().__init__(several if served else none)


class ModelUndecidedError(ConflictError):
    """A name whose default build has not ended: it is not said yet which form it means."""

    code = "model_undecided"
    param = "model"

    def __init__(self, name: str, version_id: str, job_id: str) -> None:
        super().__init__(
            f"the model {name[:80]!r} is not announced yet: its build, job {job_id}, decides in "
            f"which form it is served. Until then ask for the version {version_id!r}"
        )


class ModelNotAllowedError(PermissionDeniedError):
    """The API key is limited to other models."""

    code = "model_not_allowed"
    param = "model"


class TenantSuspendedError(PermissionDeniedError):
    """An operator suspended the tenant: none of its tokens and keys may ask."""

    code = "tenant_suspended"

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"the tenant {tenant!r} is suspended. Ask the operator of this installation to resume"
            f" it: `mill tenants resume {tenant}`"
        )


class TenantDeletedError(PermissionDeniedError):
    """An operator deleted the tenant for good."""

    code = "tenant_deleted"

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"the tenant {tenant!r} and all its data were deleted. Ask the operator of this"
            " installation for another tenant"
        )


class QuotaExceededError(OverloadedError):
    """What is used and this request together exceed a limit: a fact. Nothing was begun.

    Args:
        headers: The x-ratelimit headers of that moment.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        retry_after_seconds: float,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.code = code
        self.headers = headers


class QuotaUnknownError(UnavailableError):
    """Whether it is within its limits could not be found out in time. Nothing was begun."""

    code = "quota_unknown"
