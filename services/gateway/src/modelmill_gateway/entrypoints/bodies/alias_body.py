"""PUT /v1/aliases/{name}: a version, or several with their weights, a shadow and fallbacks."""

from pydantic import Field, model_validator

from modelmill_gateway.domain.split import ONLY, Shadow, Split, Variant
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody

MAX_VARIANTS = 8
MAX_FALLBACKS = 4
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
VERSION = "Version id or name."


class VariantBody(StrictBody):
    """Variant of an alias."""

    name: str = Field(max_length=64, pattern=NAME, description="Name, as in x-model-variant.")
    version_id: str = Field(min_length=1, max_length=256, description=VERSION)
    weight: float = Field(
        ge=0, le=1e6, description="Weight; the share is the weight over the sum of all weights."
    )


class ShadowBody(StrictBody):
    """Shadow version: gets a copy of a share of the requests; its answers are discarded."""

    version_id: str = Field(min_length=1, max_length=256, description=VERSION)
    share: float = Field(gt=0, le=1, description="Share of requests that are copied.")


class AliasBody(StrictBody):
    """Target of an alias: either `version_id` or `variants`."""

    version_id: str | None = Field(None, min_length=1, max_length=256, description=VERSION)
    variants: list[VariantBody] | None = Field(None, min_length=1, max_length=MAX_VARIANTS)
    shadow: ShadowBody | None = None
    fallback: list[str] = Field(
        default_factory=list,
        max_length=MAX_FALLBACKS,
        description="Versions to try in order when the chosen one cannot begin.",
    )

    @model_validator(mode="after")
    def _means_something(self) -> "AliasBody":
        if (self.version_id is None) == (self.variants is None):
            raise ValueError("give either version_id or variants")
        variants = self.variants or []
        if len({variant.name for variant in variants}) < len(variants):
            raise ValueError("variants: each needs a name of its own")
        if variants and not sum(variant.weight for variant in variants):
            raise ValueError("variants: one at least needs a weight above 0")
        return self

    @property
    def split(self) -> Split | None:
        """What was asked for beyond a plain version."""
        if self.variants is None and self.shadow is None and not self.fallback:
            return None
        given = self.variants or [
            VariantBody(name=ONLY, version_id=self.version_id or "", weight=1.0)
        ]
        return Split(
            tuple(Variant(it.name, it.version_id, it.weight) for it in given),
            Shadow(self.shadow.version_id, self.shadow.share) if self.shadow else None,
            tuple(self.fallback),
        )
