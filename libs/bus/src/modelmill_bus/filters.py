"""Subject filters: the stream they read from, and a single filter equal to several."""

from collections.abc import Sequence

from modelmill_service_kit.errors import InvalidInputError

from modelmill_bus.subjects import STREAMS, TOKEN


def stream_of(filters: tuple[str, ...]) -> str:
    """The one stream that all `filters` (subjects, `*` and a last `>` allowed) read from.

    Raises:
        InvalidInputError: a filter matches nothing in the table, or they span two streams.
    """
    found = set()
    for subject in filters:
        names = {s.name for s in STREAMS if any(_overlaps(subject, t) for t in s.subjects)}
        if not names:
            raise InvalidInputError(f"no such subject: {subject!r}")
        found |= names
    if len(found) != 1:
        raise InvalidInputError(f"{filters} must be of one stream, not of {sorted(found)}")
    return found.pop()


def is_whole_stream(filters: Sequence[str]) -> bool:
    """Whether all that a stream may hold passes `filters`, which are of one stream."""
    templates = _templates(filters)
    return all(any(covers(each, template) for each in filters) for template in templates)


def one_filter(filters: Sequence[str]) -> str | None:
    """A single filter that lets through what `filters` of one stream do together, if there is one.

    The broker is told it in the subject of the request, where permissions see it: `model.*` for
    all that is said of models, but nothing for two of its three subjects.
    """
    if len(filters) == 1:
        return filters[0]
    columns = list(zip(*(each.split(".") for each in filters), strict=False))
    if any(each.count(".") + 1 != len(columns) for each in filters):
        return None
    differing = [place for place, tokens in enumerate(columns) if len(set(tokens)) > 1]
    if len(differing) != 1:
        return None
    (place,) = differing
    joint = ".".join("*" if i == place else tokens[0] for i, tokens in enumerate(columns))
    reached = {t.split(".")[place] for t in _templates(filters) if _overlaps(joint, t)}
    return joint if reached == set(columns[place]) else None


def _templates(filters: Sequence[str]) -> list[str]:
    name = stream_of(tuple(filters))
    return [*next(stream.subjects for stream in STREAMS if stream.name == name)]


def covers(subject: str, template: str) -> bool:
    """Whether a filter matches every subject of the template, or all that another filter does."""
    wanted, pattern = subject.split("."), template.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        pattern, rest = pattern[: len(wanted)], pattern[len(wanted) :]
        if not rest:
            return False
    return len(wanted) == len(pattern) and all(
        want == token or (want == "*" and token != ">")
        for want, token in zip(wanted, pattern, strict=True)
    )


def _overlaps(subject: str, template: str) -> bool:
    """Whether a filter can match a subject of the template."""
    wanted, pattern = subject.split("."), template.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        pattern, rest = pattern[: len(wanted)], pattern[len(wanted) :]
        if not rest:
            return False
    return len(wanted) == len(pattern) and all(
        want == "*" or want == token or (token == "*" and TOKEN.fullmatch(want) is not None)
        for want, token in zip(wanted, pattern, strict=True)
    )
