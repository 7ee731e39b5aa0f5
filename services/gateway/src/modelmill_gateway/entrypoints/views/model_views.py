"""Versions and aliases as OpenAI's clients and ours read them."""

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ServingAbilities
from modelmill_registry.default_build import is_slower

from modelmill_gateway.domain.models import Loading, is_build
from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds
from modelmill_gateway.routing.alias_split import alias_split


def model_view(version: ModelReady) -> View:
    """A version as OpenAI's `model`; everything after `owned_by` is ours."""
    return {
        "id": version.version_id,
        "object": "model",
        "created": unix_seconds(version.created_at),
        "owned_by": version.tenant,
        "name": version.name,
        "form": version.form,
        "parent_version_id": version.parent_version_id or None,
        "base_version_id": version.base_version_id or None,
        "job_id": version.job_id or None,
        "dataset_id": version.dataset_id or None,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "context_tokens": version.context_tokens,
        "metrics": dict(version.metrics),
        "slower_than_source": is_slower(version) if is_build(version) else None,
    }


def listed_model_view(version: ModelReady, serving: str | None, served: View) -> View:
    """A version beside others.

    Args:
        serving: id of the version that its name is served by; None while that is not decided.
        served: see `served_fields`.
    """
    return {**model_view(version), "serving_version_id": serving, **served}


def served_fields(abilities: ServingAbilities | None, loading: Loading | None) -> View:
    """What inference tells of a version.

    Args:
        abilities: of the engine that loaded it last; None until one has.
        loading: how far one is that loads it; None while none does.
    """
    return {"capabilities": _capabilities(abilities), "loading": _loading(loading)}


def _loading(loading: Loading | None) -> View | None:
    if loading is None:
        return None
    left = loading.remaining_seconds
    return {
        "elapsed_seconds": round(loading.elapsed_seconds, 1),
        "remaining_seconds": None if left is None else round(left, 1),
    }


def _capabilities(abilities: ServingAbilities | None) -> View | None:
    """What requests may ask for, under the names of their fields."""
    if abilities is None:
        return None
    return {
        "logprobs": abilities.HasField("top_logprobs"),
        "top_logprobs": abilities.top_logprobs,
        "response_format": abilities.grammar,
        "tools": abilities.tools,
        "required_tools": abilities.grammar,
        "embeddings": abilities.embed,
        "scores": abilities.score,
        "exact": abilities.exact,
    }


def alias_as_model_view(alias: AliasState, served: View) -> View:
    """An alias as OpenAI's `model`: it can be asked for like one."""
    return {
        "id": alias.name,
        "object": "model",
        "created": unix_seconds(alias.moved_at),
        "owned_by": alias.tenant,
        "version_id": alias.version_id,
        **served,
    }


def alias_view(alias: AliasState) -> View:
    """An alias as ours."""
    return {
        "id": alias.name,
        "object": "alias",
        "name": alias.name,
        "version_id": alias.version_id,
        "owned_by": alias.tenant,
        "moved_by": alias.moved_by,
        "moved_at": unix_seconds(alias.moved_at),
        **_split_fields(alias),
    }


def _split_fields(alias: AliasState) -> View:
    """What an alias with variants has beyond a version."""
    split = alias_split(alias)
    if split is None:
        return {}
    return {
        "variants": [dict(vars(variant)) for variant in split.variants],
        "shadow": dict(vars(split.shadow)) if split.shadow else None,
        "fallback": list(split.fallback),
    }
