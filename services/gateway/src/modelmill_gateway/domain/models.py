"""Models as they are asked for: which version answers, and how far its loading is."""

from dataclasses import dataclass

from modelmill_gateway.domain.split import Shadow


@dataclass(frozen=True)
class Loading:
    """How far an engine is with loading a version."""

    elapsed_seconds: float
    remaining_seconds: float | None
    """By earlier loads; None where there is none to go by, or it takes longer than they did."""


@dataclass(frozen=True)
class AskedModel:
    """What inference is asked for: `model` is an alias, which it resolves, or a version id.

    `fallback_version_id` is run where it has not heard of the alias, or has no engine for the form.
    """

    model: str
    fallback_version_id: str = ""
    variant: str = ""
    """Name of the variant that `model` is, where an alias has several."""
    fallbacks: tuple[str, ...] = ()
    """Versions that are asked in order where it cannot begin."""
    shadow: Shadow | None = None
    """Asked the same behind the answer."""
