"""JSON, specs, texts of pages and what tools are called with."""

import json
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from google.protobuf.json_format import MessageToDict
from modelmill_data_prep.domain.cleaning.clean_plan import TRANSFORMS, plan_clean
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.entities.entity_plan import plan_entities
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder
from modelmill_data_prep.domain.entities.stage import EntityStage
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import plan_mapping
from modelmill_data_prep.domain.reading.parse_block import (
    MAX_DEPTH,
    NestedTooDeeplyError,
    parse_json,
)
from modelmill_data_prep.pipeline.worker_parts import clean_transforms
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.datasets import DatasetSpecBody
from modelmill_gateway.entrypoints.schemas.parsing import parse_body
from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz.mutations import mutated
from tests.fuzz.row_parsers import read_rows
from tests.fuzz.sound_rows import CALLING, ROWS, SPECS, TEMPLATED, TEXTS
from tests.fuzz.tally import FuzzError
from tests.fuzz.values import broken_value

CLEANED = tuple(name for name in TRANSFORMS if name not in ("simplified", "stop_words"))
"""Those without dictionaries of their own."""


class JsonParser:
    """Parses broken JSON.

    Promised: the value that the standard library finds, or none where it finds none; NaN and
    Infinity are not JSON, and neither is what is nested deeper than `MAX_DEPTH`.
    """

    def __init__(self) -> None:
        self._values = [*CALLING, *TEMPLATED, *(row for some in ROWS.values() for row in some)]
        self._seeds = [json.dumps(value).encode() for value in self._values]
        self._seeds += [b'{"a": [1, -2.5e3, 1E400, 0.1, 18446744073709551616, "\\ud83d\\ude00"]}']

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        if random.random() < 0.5:
            return json.dumps(broken_value(random, random.choice(self._values))).encode()
        return mutated(random, random.choice(self._seeds), random.choice(self._seeds))

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        text = path.read_bytes()
        known, expected = _standard(text)
        try:
            value = parse_json(text)
        except NestedTooDeeplyError:
            if known and _depth(expected) <= MAX_DEPTH:
                raise FuzzError("not nested too deeply") from None
            return 0
        except ValueError:
            if known and _depth(expected) <= MAX_DEPTH:
                raise FuzzError("JSON was refused") from None
            return 0
        if not known:
            raise FuzzError("what is not JSON has a value")
        if _depth(expected) > MAX_DEPTH or not _same(value, expected):
            raise FuzzError("another value than the standard library's")
        return 1


def _standard(text: bytes) -> tuple[bool, Any]:
    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        return True, json.loads(text.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False, None


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list | dict)]:
        depth += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


class SpecParser:
    """Checks broken bodies of `POST /v1/datasets`: by the gateway, then by data-prep.

    Promised: each is planned, or refused with what is wrong.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        return json.dumps(broken_value(random, random.choice(SPECS))).encode()

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        try:
            spec = parse_body(path.read_bytes(), DatasetSpecBody).spec()
        except BadRequestError as error:
            raise InvalidInputError("no JSON") from error
        plan = plan_dataset(MessageToDict(spec, preserving_proto_field_name=True))
        if plan.name != spec.name or not 0 <= plan.seed < 1 << 64:
            raise FuzzError("a plan of another spec")
        return 1


class TextCleaner:
    """Cleans broken texts of pages.

    Promised: a text is cleaned the same whichever texts stand beside it, becomes none that cannot
    be written, and nothing more is done to it the second time.
    """

    def __init__(self) -> None:
        self._transforms = clean_transforms(plan_clean({"transforms": list(CLEANED)}))
        self._seeds = [text.encode() for text in TEXTS]

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        return mutated(random, random.choice(self._seeds), random.choice(self._seeds))

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        text = path.read_bytes().decode("utf-8", "replace")
        (alone,) = self._clean([text])
        alone.encode()
        if self._clean([TEXTS[0], text, TEXTS[1]])[1] != alone:
            raise FuzzError("another text beside others")
        if self._clean([alone]) != [alone]:
            raise FuzzError("another text when it is cleaned again")
        return 1

    def _clean(self, texts: list[str]) -> list[str]:
        for transform in self._transforms:
            texts = transform(texts)
        return texts


class EntitySearcher:
    """Masks what rules find in rows that call tools, arguments in their strings included.

    Promised: no row ends the search, rows stay rows, and a row in which nothing is found keeps its
    bytes.
    """

    def __init__(self) -> None:
        self._stage = EntityStage(plan_entities({"actions": {"*": "mask"}}), [RuleFinder()])
        self._mapping = plan_mapping({"layout": "openai_chat"})

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        rows = [broken_value(random, row) for row in random.choices(CALLING, k=2)]
        for row in rows:
            for call in _calls(row):
                call["arguments"] = _arguments(random)
        return b"\n".join(json.dumps(row).encode() for row in rows)

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        rows = map_block(read_rows(path), self._mapping).rows
        passed = self._stage(rows)
        passed.rows.validate(full=True)
        if passed.rows.num_rows != rows.num_rows:
            raise FuzzError("a row was lost")
        for before, after in zip(rows.to_pylist(), passed.rows.to_pylist(), strict=True):
            if not after["changes"] and before != after:
                raise FuzzError("a row was changed and does not say so")
        return rows.num_rows


def _calls(value: Any) -> list[dict[str, Any]]:
    """Every object with arguments that is not deep in a value."""
    found, level = [], [value]
    for _ in range(8):
        inner = [more for one in level for more in (one.values() if isinstance(one, dict) else one)]
        level = [one for one in inner if isinstance(one, list | dict)]
        found += [one for one in level if isinstance(one, dict) and "arguments" in one]
    return found


def _arguments(random: Random) -> str:
    """What a tool is called with: JSON, often broken, and sometimes very deep."""
    if random.random() < 0.2:
        depth = random.choice((90, 150, random.randint(800, 1_000), 5_000))
        return "[" * depth + random.choice(("1", '"a@example.org"')) + "]" * depth
    value = {"to": "ada@lovelace.org", "n": [1, 4111111111111111, 2.5], "arguments": '{"a": "b"}'}
    return json.dumps(broken_value(random, value), ensure_ascii=random.random() < 0.5)
