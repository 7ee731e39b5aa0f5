"""Models as they are asked for: an alias, or one of its variants, or a version."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from modelmill_gateway.domain.chat import ChatCall

KIND = "split"
FALLBACK = "fallback"
"""Variant that an answer names when one of them gave it."""
ONLY = "default"
"""Name of the variant of an alias that has just one."""
HASHED_CHARS = 4096
"""Of a conversation's beginning."""


@dataclass(frozen=True)
class Variant:
    """One of the versions, and how many of the requests are its, over the sum of all weights."""

    name: str
    version_id: str
    weight: float


@dataclass(frozen=True)
class Shadow:
    """A version that is asked the same for a share of the answers, and whose own nobody sees."""

    version_id: str
    share: float


@dataclass(frozen=True)
class Phase:
    """Part of an experiment that draws for itself: its variants are the arms."""

    experiment_id: str
    number: int = 0

    @property
    def salt(self) -> str:
        """What makes its draw another one than those of other phases."""
        return f"{self.experiment_id}/{self.number}"


@dataclass(frozen=True)
class Assignment:
    """The arm that a phase drew for a request, and a digest of what it was drawn by."""

    phase: Phase
    arm: str
    key_digest: bytes


KEY_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Split:
    """An alias that means several versions; `fallback` steps in, in order, where one cannot begin.

    Kept in the alias's options under kind "split"; `version_id` of the alias is the first
    variant's, by which whoever knows no splits reads it.
    """

    variants: tuple[Variant, ...]
    shadow: Shadow | None = None
    fallback: tuple[str, ...] = ()
    phase: Phase | None = None
    """Of the experiment that the variants are arms of."""
    is_logged: bool = False
    """Whether requests and answers are kept."""

    @property
    def version_ids(self) -> tuple[str, ...]:
        """All that it takes, each once."""
        shadow = (self.shadow.version_id,) if self.shadow else ()
        named = (*(each.version_id for each in self.variants), *shadow, *self.fallback)
        return tuple(dict.fromkeys(named))

    def pick(self, *place: str) -> Variant:
        """Whose the request is: by rendezvous, so that the same place has the same variant.

        Each variant draws a number from the place and its own name, and the largest wins. Drawn
        as -ln(u)/weight they win in proportion to their weights; when a weight changes, only those
        move that it loses or wins.

        Args:
            place: tenant, alias, and what the request is told apart by.
        """
        if len(self.variants) == 1:
            return self.variants[0]
        drawn = _joined(self._salted(place))
        return min(self.variants, key=lambda each: _draw(drawn, each))

    def assignment(self, variant: Variant, *place: str) -> Assignment | None:
        """Which arm the place has by the experiment; None where the alias runs none."""
        if self.phase is None:
            return None
        digest = blake2b(_joined(self._salted(place)), digest_size=KEY_DIGEST_BYTES).digest()
        return Assignment(self.phase, variant.name, digest)

    def options(self) -> dict[str, Any]:
        """As the alias keeps it."""
        said: dict[str, Any] = {
            "kind": KIND,
            "variants": [vars(variant) for variant in self.variants],
            "fallback": list(self.fallback),
        }
        if self.shadow:
            said["shadow"] = vars(self.shadow)
        if self.phase:
            said["experiment"] = vars(self.phase)
        if self.is_logged:
            said["store"] = True
        return said

    def _salted(self, place: tuple[str, ...]) -> tuple[str, ...]:
        return (*place, self.phase.salt) if self.phase else place


def split_of(options: Mapping[str, Any]) -> Split | None:
    """What an alias's options say; None when they are of another kind, or not whole."""
    if options.get("kind") != KIND:
        return None
    try:
        shadow, phase = options.get("shadow"), options.get("experiment")
        variants = tuple(
            Variant(str(it["name"]), str(it["version_id"]), float(it["weight"]))
            for it in options["variants"]
        )
        split = Split(
            variants,
            Shadow(str(shadow["version_id"]), float(shadow["share"])) if shadow else None,
            tuple(map(str, options.get("fallback", ()))),
            Phase(str(phase["experiment_id"]), int(phase["number"])) if phase else None,
            options.get("store") is True,
        )
    except (KeyError, TypeError, ValueError):
        return None
    return split if variants else None


def sticky_key(call: ChatCall, given: str = "") -> str:
    """What tells the request apart: the key that was given, its user, or how its talk began."""
    own = given or call.user
    if own:
        return own
    begun = []
    for turn in call.turns:
        begun.append(turn.content[:HASHED_CHARS])
        if turn.role == "user":
            break
    return "\0".join(begun)


def _joined(place: tuple[str, ...]) -> bytes:
    return "\0".join(place).encode("utf-8", "surrogatepass")


def _draw(place: bytes, variant: Variant) -> float:
    if variant.weight <= 0:
        return math.inf
    digest = blake2b(place, digest_size=8, key=variant.name.encode()[:64]).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64) / variant.weight


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
    assignment: Assignment | None = None
    """By the alias's experiment."""
    is_logged: bool = False
    """Whether the alias keeps requests and answers."""
