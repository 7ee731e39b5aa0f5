"""Service times that the simulation is fed with: measured here, or assumed by somebody.

`measurements.json` in this package holds those that came with the release.
"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

PACKAGED = Path(__file__).with_name("measurements.json")
MOST_ERROR = 0.15
"""Relative error up to which a load band counts as validated."""
Origin = Literal["measured", "assumed"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BatchStep(_Record):
    """One step of an engine, which gives every answer of the batch a token."""

    batch: PositiveInt
    seconds: PositiveFloat


class LoadBand(_Record):
    """How far the simulation was from a measured run, at one load."""

    load: PositiveFloat
    """Offered requests over the capacity that is computed from the service times, as of a plan."""
    throughput_error: float
    """Predicted over measured, less 1; so are the other errors."""
    first_token_error: float
    """Of the median time to the first token."""
    p95_error: float
    p95_lies_in_band: bool
    """Whether the measured p95 was between the lowest and highest that was predicted."""
    refused: int = Field(ge=0)
    """Measured requests that were not answered: the times are of the others alone."""
    predicted_refused: int = Field(ge=0)

    @property
    def is_validated(self) -> bool:
        """Whether the prediction was near enough to be shown without a mark.

        Nothing is planned with refusals, so a run that had some, measured or predicted, says
        nothing of a plan.
        """
        if self.refused or self.predicted_refused:
            return False
        errors = (self.throughput_error, self.first_token_error, self.p95_error)
        return all(abs(error) <= MOST_ERROR for error in errors)


class EngineTimes(_Record):
    """One form of a model on one kind of machine."""

    form: str
    model: str
    machine: str
    origin: Origin
    source: str
    """Command, commit and date of a measurement; what an assumption rests on."""
    steps: tuple[BatchStep, ...] = Field(min_length=1)
    """By batch size, ascending."""
    prompt_token_seconds: float = Field(ge=0)
    """What a prompt token adds to the step that computes it."""
    overhead_seconds: float = Field(ge=0)
    """What an idle installation takes before the engine sees a request."""
    held_tokens: int = Field(default=0, ge=0)
    """After the first one, until the first text: the output guard waits for the end of a word."""
    sequences: PositiveInt
    """Answers side by side at most."""
    tokens: PositiveInt
    """Prompts and answers that the cache holds at most."""
    waiting: int = Field(ge=0)
    """Requests that wait for room at most; more are refused."""
    chunk_tokens: PositiveInt
    """Prompt tokens in one step at most."""
    start_seconds: float = Field(ge=0)
    """Until a new replica answers."""
    prompt_tokens: PositiveInt
    """Of the measured requests, and so are the output tokens."""
    output_tokens: PositiveInt
    bands: tuple[LoadBand, ...] = ()

    @property
    def validated_load(self) -> float:
        """Highest load up to which each band that was measured is validated; 0 for none."""
        highest = 0.0
        for band in sorted(self.bands, key=lambda each: each.load):
            if not band.is_validated:
                break
            highest = band.load
        return highest

    @cached_property
    def _batches(self) -> list[int]:
        return [step.batch for step in self.steps]

    @cached_property
    def _step_seconds(self) -> list[float]:
        """By batch size, from 0 to the most side by side."""
        return [self._interpolated(batch) for batch in range(self.sequences + 1)]

    def step_seconds(self, batch: int) -> float:
        """One step with so many answers side by side, a straight line between measured ones."""
        return self._step_seconds[min(batch, self.sequences)]

    def _interpolated(self, batch: int) -> float:
        steps, at = self.steps, bisect_left(self._batches, batch)
        if len(steps) == 1 or batch <= steps[0].batch:
            return steps[0].seconds
        low, high = steps[min(at, len(steps) - 1) - 1], steps[min(at, len(steps) - 1)]
        slope = (high.seconds - low.seconds) / (high.batch - low.batch)
        return low.seconds + slope * (batch - low.batch)


class ServiceTimes(_Record):
    """Processor time that a service in front of the engines takes."""

    name: str
    origin: Origin
    source: str
    request_seconds: float = Field(ge=0)
    token_seconds: float = Field(ge=0)
    """For each token of the answer."""
    cores: PositiveInt = 1
    """Of one replica."""


class Measurements(_Record):
    """All that is known."""

    services: tuple[ServiceTimes, ...]
    engines: tuple[EngineTimes, ...] = Field(min_length=1)

    @classmethod
    def load(cls, file: Path = PACKAGED) -> "Measurements":
        """Read a file.

        Raises:
            InvalidInputError: it holds no measurements.
            OSError: it cannot be read.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise InvalidInputError(
                f"{file.name} holds no measurements: {where}: {first['msg']}. "
                "Its fields stand in docs/how-to/capacity.md"
            ) from None

    def save(self, file: Path) -> None:
        """Write them to a file."""
        text = json.dumps(self.model_dump(mode="json", exclude_defaults=True), indent=1)
        file.write_text(text + "\n", encoding="utf-8")

    @property
    def forms(self) -> Sequence[str]:
        """Forms of which there are service times."""
        return [engine.form for engine in self.engines]

    def engine(self, form: str | None) -> EngineTimes:
        """Times of a form; of the first one without a name.

        Raises:
            NotFoundError: there are none.
        """
        for engine in self.engines:
            if form in (None, engine.form):
                return engine
        raise NotFoundError(
            f"no service times of {form}. There are those of {', '.join(self.forms)}; "
            "--measurements reads others"
        )
