"""What the guard reads: texts of anybody, cut anywhere, and policies of tenants."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import yaml
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.normalise import ShadowWindow, normalise
from modelmill_guard.policy import PolicyError, parse_policy, policy_from_objects
from modelmill_guard.variants import VARIANTS
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz.mutations import mutated
from tests.fuzz.tally import FuzzError
from tests.fuzz.values import broken_value
from tests.guard.corpus.rows import POLICY_FILE, corpus
from tests.guard.judged import LeakError, cut, expected, streamed

MOST_TEXT = 400
_STARTERS = Path("services/moderation/src/modelmill_moderation/policies")


def _odd_character(random: Random) -> str:
    """From anywhere in Unicode, but mostly from where text is turned into other text."""
    ranges = (
        *((0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x1100, 0x1200), (0x1D400, 0x1D800)),
        *((0x2000, 0x2070), (0x2460, 0x2500), (0x3000, 0x3400), (0x4E00, 0xA000)),
        *((0xAC00, 0xD7A4), (0xD800, 0xE000), (0xF900, 0x10000), (0x1F100, 0x1F200)),
        *((0xE0000, 0xE0200), (0, 0x110000)),
    )
    return chr(random.randrange(*random.choice(ranges)))


def _text(random: Random) -> str:
    """Bits of the corpus and odd characters in any order."""
    rows, parts = corpus(), []
    for _ in range(random.randint(1, 12)):
        row = random.choice(rows)
        start = random.randint(0, len(row.text))
        parts.append(row.text[start : start + random.randint(1, 30)])
        if random.random() < 0.6:
            parts.append(_odd_character(random) * random.choice((1, 1, 1, 3, 40)))
    return "".join(parts)[:MOST_TEXT]


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


class Normaliser:
    """Makes shadow copies of texts, whole and in pieces.

    Promised: a copy's copy is itself; pieces give the copy and the origins of the whole; origins
    never go back and lie within the text.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        text = _text(random)
        return _bytes([text, [random.randint(0, len(text)) for _ in range(4)]])

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        text, places = json.loads(path.read_bytes())
        shadow = normalise(text)
        if normalise(shadow) != shadow:
            raise FuzzError("the copy of a copy is another")
        whole, pieces = ShadowWindow(), ShadowWindow()
        whole.append(text)
        for piece in cut(text, places):
            pieces.append(piece)
        if (pieces.text, _origins(pieces)) != (whole.text, _origins(whole)):
            raise FuzzError("pieces have another copy than the whole")
        if not all(0 <= one <= other for one, other in pairwise([*_origins(whole), len(text)])):
            raise FuzzError("origins are out of order")
        return len(shadow)


def _origins(window: ShadowWindow) -> list[int]:
    return [window.original_start(position) for position in range(window.end)]


class PolicyLoader:
    """Reads broken policies, as YAML and as objects.

    Promised: a policy is refused with all that is wrong with it, or compiles to a bundle that
    names itself, is read back as the same, and judges a text.
    """

    def __init__(self) -> None:
        files = [POLICY_FILE, *sorted(_STARTERS.glob("*.yaml"))]
        self._seeds = [file.read_bytes() for file in files]
        self._values = [_shorter(yaml.safe_load(seed)) for seed in self._seeds]

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        if random.random() < 0.5:
            return yaml.safe_dump(
                broken_value(random, random.choice(self._values)), allow_unicode=True
            ).encode("utf-8", "replace")
        return mutated(random, random.choice(self._seeds), random.choice(self._seeds))

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        text = path.read_bytes().decode("utf-8", "replace")
        try:
            bundle = compile_policy(parse_policy({"policy": text}))
        except PolicyError as error:
            if not error.errors or not all(error.errors):
                raise FuzzError("refused without a word") from None
            raise InvalidInputError(error.errors) from error
        compiled = CompiledPolicy.from_bundle(bundle.content, bundle.digest)
        if compiled.digest != bundle.digest:
            raise FuzzError("a bundle that names another")
        compiled.check(text[: min(2_000, compiled.max_check_characters)], Direction.INPUT)
        return 1


def _shorter(policy: Any) -> Any:
    """A few of its rules: what is done to one then matters."""
    return policy | {"rules": policy["rules"][:6]}


class StreamedText:
    """Streams texts through small policies that are made of them.

    Promised: whichever way a text is cut, one verdict, what was approved is shown, nothing leaks.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        text = _text(random)[:120] or "a"
        if random.random() < 0.3:
            at = random.randint(0, len(text))
            text = text[:at] + _unseen(_bit(random, text) + _bit(random, text)) + text[at:]
        rules = [_rule(random, number, text) for number in range(random.randint(1, 6))]
        cuts = [
            sorted(random.randint(0, len(text)) for _ in range(random.randint(1, 8)))
            for _ in range(4)
        ]
        return _bytes({"rules": rules, "text": text, "cuts": cuts})

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        asked = json.loads(path.read_bytes())
        text: str = asked["text"]
        try:
            policy = policy_from_objects({"fuzz": {"rules": asked["rules"]}})
            bundle = compile_policy(policy)
        except PolicyError as error:
            raise InvalidInputError(error.errors) from error
        compiled = CompiledPolicy.from_bundle(bundle.content, bundle.digest)
        wanted = expected(compiled, text, Direction.OUTPUT)
        for pieces in (list(text), *(cut(text, places) for places in asked["cuts"])):
            try:
                wanted.hold(*streamed(compiled, pieces, Direction.OUTPUT), pieces)
            except LeakError as error:
                raise FuzzError(str(error)) from error
        return len(wanted.verdict.matches)


_ENDS = ("", "{1,3}", "?", "{0,4}x", "[a-z]{1,5}", r"\d{2}", r"\b", "(?:a|bc){1,2}")


def _rule(random: Random, number: int, text: str) -> dict[str, Any]:
    """Its words are bits of the text, with luck near to each other and within each other."""
    rule: dict[str, Any] = {
        "id": f"r{number}",
        "category": "fuzz",
        "severity": "low",
        "action": random.choice(("block", "mask", "mask", "flag")),
        "directions": "both",
    }
    bits = [_bit(random, text) for _ in range(random.randint(1, 3))]
    if random.random() < 0.7:
        rule |= {"keywords": bits, "within_words": random.random() < 0.5}
        return rule | ({"variants": sorted(VARIANTS)} if random.random() < 0.3 else {})
    letters = "".join(character for character in normalise(bits[0]) if character.isalnum())
    return rule | {"pattern": f"{letters or 'a'}{random.choice(_ENDS)}"}


def _unseen(text: str) -> str:
    """What of it is ASCII, in characters of the tag block."""
    return "".join(chr(0xE0000 + ord(one)) if " " <= one <= "~" else one for one in text)


def _bit(random: Random, text: str) -> str:
    start = random.randrange(len(text))
    return text[start : start + random.choice((1, 2, 3, 5, 9))]
