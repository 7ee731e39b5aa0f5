"""Masks entities in texts that are only displayed, such as report samples."""

from collections.abc import Collection, Sequence

from modelmill_data_prep.domain.entities.spans import EntityFinder, without_overlaps

MAX_ROUNDS = 8


def mask_entities(texts: Sequence[str], find: EntityFinder, types: Collection[str]) -> list[str]:
    """Replace entities of the given types by "[EMAIL]" etc.

    Repeated until nothing is found, at most `MAX_ROUNDS` times, because a replacement can reveal an
    adjacent entity.
    """
    left = list(texts)
    pending = list(range(len(left)))
    for _ in range(MAX_ROUNDS):
        found = find([left[place] for place in pending])
        again = []
        for place, spans in zip(pending, found, strict=True):
            wanted = without_overlaps(span for span in spans if span.type in types)
            for span in reversed(wanted):
                text = left[place]
                left[place] = f"{text[: span.start]}[{span.type.upper()}]{text[span.end :]}"
            if wanted:
                again.append(place)
        pending = again
        if not pending:
            break
    return left
