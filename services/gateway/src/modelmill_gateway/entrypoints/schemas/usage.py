"""What a tenant used, in the shape of OpenAI's usage API."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.domain.usage_rows import GROUPS, Bucket
from modelmill_gateway.entrypoints.schemas.base import ResponseModel, UnixSeconds, VersionId


class UsageResult(ResponseModel):
    """Sums of some requests; `cost_micros` is in millionths of the operator's currency.

    Of what is not grouped by, and of requests that no model answered or no key came with, the
    field is null.
    """

    object: Literal["organization.usage.completions.result"] = (
        "organization.usage.completions.result"
    )
    input_tokens: int = Field(examples=[2100])
    output_tokens: int = Field(examples=[200])
    num_model_requests: int = Field(validation_alias="requests", examples=[100])
    cost_micros: int = Field(validation_alias="micros")
    num_failed_requests: int = Field(
        validation_alias="failed",
        description="Of num_model_requests, those that an error or the end of their time ended.",
        examples=[1],
    )
    num_timed_requests: int = Field(
        validation_alias="timed",
        description="Of num_model_requests, those that had a first token; the next three are sums"
        " over these.",
        examples=[98],
    )
    first_token_seconds: float = Field(
        description="From requests to first tokens; divided by num_timed_requests, the mean.",
        examples=[24.5],
    )
    generation_seconds: float = Field(
        description="From first tokens to the ends of answers.", examples=[7.84]
    )
    generated_tokens: int = Field(
        description="Tokens after first ones; divided by generation_seconds, the speed of an"
        " answer.",
        examples=[102],
    )
    model: VersionId | None
    api_key_id: str | None
    user_id: str | None


class UsageBucket(ResponseModel):
    """Time bucket of usage; without results if nothing was used."""

    object: Literal["bucket"] = "bucket"
    start_time: UnixSeconds
    end_time: int = Field(examples=[1764086400])
    results: list[UsageResult]

    @classmethod
    def of_bucket(cls, bucket: Bucket, group_by: tuple[str, ...]) -> "UsageBucket":
        """The sums of a stretch of time, by the values of these fields."""
        results = []
        for key, sums in sorted(bucket.sums.items()):
            group = dict(zip(group_by, key, strict=True))
            named = {name: group.get(name) or None for name in GROUPS}
            results.append(UsageResult.of(sums, **named))
        return cls(start_time=bucket.start, end_time=bucket.end, results=results)


class UsagePage(ResponseModel):
    """Buckets, oldest first."""

    object: Literal["page"] = "page"
    data: list[UsageBucket]
    has_more: bool
    next_page: str | None
