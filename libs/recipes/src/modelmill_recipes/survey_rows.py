"""What a recipe's files say of its dataset before they are uploaded: rows, and a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from random import Random
from unicodedata import normalize

from modelmill_documents.document_format import document_format_of
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_recipes.local_rows import PASSAGE_COLUMNS, LocalRows, UnreadHereError
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.row_conversation import RowConversation, columns_of, row_conversation

MOST_READ = 200_000
"""Rows of one file; of a longer one the rest is taken to be like them."""
SAMPLE = 400
SEED = 7
MAX_LABELS = 64
"""With more distinct answers data-prep finds no classification."""
DEFAULT_SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True)
class RowSurvey:
    """Rows by a look at the files. Filters and near duplicates are not known before data-prep."""

    rows_in: int
    rows_kept: int
    """Valid ones, without repeats."""
    sample: Sequence[RowConversation]

    @property
    def labels(self) -> list[str]:
        """Distinct answers of the sample, where they are those of a classification."""
        found = {
            str(row.messages[-1]["content"])
            for row in self.sample
            if len(row.messages) > 1 and row.rejected is None
        }
        return sorted(found) if len(found) <= MAX_LABELS else []


@dataclass(frozen=True)
class SplitRows:
    """Rows of the splits that are used."""

    train: int
    test: int


def survey_rows(recipe: Recipe) -> RowSurvey:
    """Read the files, or their beginnings.

    Raises:
        InvalidInputError: The mapping names a column that no row has, with its line; or a file's
            format is read by data-prep alone.
        OSError: A file cannot be read.
    """
    mapping = recipe.dataset["mapping"]
    keep_repeats = bool((recipe.dataset.get("duplicates") or {}).get("keep_exact"))
    random, seen, sample = Random(SEED), set[bytes](), list[RowConversation]()
    rows_in = rows_kept = 0.0
    valid = 0
    for file in recipe.files:
        rows, columns = LocalRows(file, recipe.dataset.get("reading")), dict[str, None]()
        read = fresh = 0
        for row in rows:
            read += 1
            if read <= SAMPLE:
                columns |= dict.fromkeys(row)
            said = row_conversation(row, mapping)
            digest = _folded(said)
            if said is not None and (keep_repeats or digest not in seen):
                seen.add(digest)
                fresh, valid = fresh + 1, valid + 1
                _take(sample, said, valid, random)
            if read == MOST_READ:
                break
        share = rows.share_read if read == MOST_READ else 1.0
        rows_in, rows_kept = rows_in + read / share, rows_kept + fresh / share
        _check_columns(recipe, file.name, list(columns))
    return RowSurvey(round(rows_in), round(rows_kept), sample)


def _folded(row: RowConversation | None) -> bytes:
    """Digest that is the same for texts that differ in case, width and spaces alone, as rows that
    data-prep takes for equal do."""
    text = " ".join(normalize("NFKC", repr(row)).casefold().split())
    return blake2b(text.encode(errors="replace"), digest_size=12).digest()


def check_columns(recipe: Recipe) -> None:
    """Look for the mapping's columns in the first rows of each file that is read here.

    Raises:
        InvalidInputError: A column is missing, with the line of the recipe.
        OSError: A file cannot be read.
    """
    for file in recipe.files:
        if document_format_of(file.name):
            _check_columns(recipe, file.name, PASSAGE_COLUMNS)
            continue
        columns: dict[str, None] = {}
        try:
            for row in islice(LocalRows(file, recipe.dataset.get("reading")), SAMPLE):
                columns |= dict.fromkeys(row)
        except UnreadHereError:
            continue  # data-prep may read it
        _check_columns(recipe, file.name, list(columns))


def _take(sample: list[RowConversation], row: RowConversation, number: int, random: Random) -> None:
    """Each row so far is in the sample with the same chance (reservoir sampling)."""
    if len(sample) < SAMPLE:
        sample.append(row)
    elif (place := random.randrange(number)) < SAMPLE:
        sample[place] = row


def _check_columns(recipe: Recipe, file: str, columns: Sequence[str]) -> None:
    missing = [each for each in columns_of(recipe.dataset["mapping"]) if each not in columns]
    if columns and missing:
        listed = ", ".join(map(repr, columns))
        raise InvalidInputError(
            [
                recipe.located(
                    f"unknown column {each!r}.{did_you_mean(each, columns)} {file} has {listed}",
                    "data",
                )
                for each in missing
            ]
        )


def split_rows(recipe: Recipe, rows: int) -> SplitRows:
    """As data-prep splits so many rows, but for whole groups of equal questions."""
    shares = recipe.dataset.get("shares") or DEFAULT_SHARES
    most = recipe.dataset.get("max_test_rows") or rows
    test = min(round(shares.get("test", 0.0) * rows), most)
    train = rows - test - round(shares.get("valid", 0.0) * rows)
    steps = (recipe.dataset.get("augment") or {}).get("steps") or ()
    return SplitRows(round(train * (1 + sum(each["share"] for each in steps))), test)
