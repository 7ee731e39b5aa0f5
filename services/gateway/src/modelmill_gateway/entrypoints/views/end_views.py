"""How an answer ended, as callers see it: OpenAI's reason, and ours beside it."""

import math
from dataclasses import asdict
from typing import Any

from modelmill_gateway.domain.chat import CascadePath, End


def end_view(end: End | None) -> dict[str, Any]:
    """A choice's fields about its end."""
    return {"finish_reason": end.finish_reason if end else None, **cascade_field(end)}


def cascade_field(end: End | None) -> dict[str, Any]:
    """The field `cascade`, where the model was one and told of its way."""
    return {"cascade": _path(end.cascade)} if end and end.cascade else {}


def _path(path: CascadePath) -> dict[str, Any]:
    # A cascade that was never calibrated believes nothing, and JSON knows no infinity.
    threshold = path.threshold if math.isfinite(path.threshold) else None
    return {**asdict(path), "threshold": threshold}
