"""Texts that are only shown: entities in them give way to the names of their types."""

from collections.abc import Collection, Sequence

from modelmill_data_prep.domain.entities.spans import EntityFinder, without_overlaps

MAX_ROUNDS = 8


def masked(texts: Sequence[str], find: EntityFinder, types: Collection[str]) -> list[str]:
    """The texts with "[EMAIL]" and the like in place of all entities of these types.

    Searched again until nothing is found, `MAX_ROUNDS` times at most: what is gone may have hidden
    what stood close to it.
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
