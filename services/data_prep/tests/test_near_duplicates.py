"""Near duplicates are found, whatever the batching, and nothing else is called near."""

import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates.disk_arrays import new_array, release_pages
from modelmill_data_prep.domain.duplicates.near import (
    Cluster,
    UnionFind,
    deduplicate,
    near_leaders,
    summarise_clusters,
)
from modelmill_data_prep.domain.duplicates.row_keys import (
    PERMUTATIONS,
    SHINGLE,
    WIDE_SHINGLE,
    signatures,
)
from modelmill_data_prep.domain.duplicates.signature_store import (
    CANDIDATE_RECALL,
    SignatureStore,
    band_places,
    candidate_probability,
)
from modelmill_data_prep.domain.text_form import comparison_key

THRESHOLD = 0.8
LETTERS = {"latin": "abcdefghijklmnopqrstuvwxyz ", "han": "".join(map(chr, range(0x4E00, 0x4F00)))}


def shingles(text: str) -> set[str]:
    """The same set, by the book."""
    key = comparison_key(text)
    sizes = [WIDE_SHINGLE if character >= "\u2e80" else SHINGLE for character in key]
    found = {key[start : start + size] for start, size in enumerate(sizes)}
    whole = {
        key[start : start + size] for start, size in enumerate(sizes) if start + size <= len(key)
    }
    return whole if whole and found else {key}


def similarity(left: str, right: str) -> float:
    one, other = shingles(left), shingles(right)
    return len(one & other) / len(one | other)


def estimates(texts: Sequence[str]) -> np.ndarray:
    """Estimated similarity of each text with each."""
    made = signatures(pa.array(texts, pa.string()))
    return np.array([[np.mean(one == other) for other in made] for one in made])


def edited(text: str, share: float, letters: str, chance: random.Random) -> str:
    """The text with so many of its characters replaced."""
    characters = list(text)
    for place in chance.sample(range(len(text)), round(share * len(text))):
        characters[place] = chance.choice(letters)
    return "".join(characters)


def corpus(letters: str, seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Random texts, some of them edits of others, and the pairs of a text and its edit."""
    chance = random.Random(seed)
    texts = [
        "".join(chance.choices(letters, k=chance.randint(60, 400))).strip() for _ in range(200)
    ]
    pairs = []
    for place in range(0, 200, 2):
        pairs.append((place, len(texts)))
        texts.append(edited(texts[place], chance.choice([0.01, 0.02, 0.05]), letters, chance))
    return texts, pairs


def leaders_of(
    texts: Sequence[str], threshold: float = THRESHOLD, batch: int = 50, backwards: bool = False
) -> list[int]:
    with TemporaryDirectory() as folder:
        store = SignatureStore(Path(folder) / "near", [threshold])
        starts = list(range(0, len(texts), batch))
        for start in reversed(starts) if backwards else starts:
            part = pa.array(texts[start : start + batch], pa.string())
            store.add(signatures(part), start)
        own = np.arange(len(texts))
        return [*near_leaders(store, threshold, own, Path(folder) / "leaders").tolist()]


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(deadline=None)
@given(st.lists(any_text, max_size=6), any_text)
def test_the_signature_of_a_text_depends_on_it_alone(others: list[str], text: str) -> None:
    alone = signatures(pa.array([text], pa.string()))
    among = signatures(pa.array([*others, text, *others], pa.string()))

    assert alone.shape == (1, PERMUTATIONS)
    assert (among[len(others)] == alone[0]).all()


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab好人 Ａ"), max_size=9), min_size=2, max_size=8))
def test_equal_shingles_and_equal_signatures_are_the_same(texts: list[str]) -> None:
    estimated = estimates(texts)

    for left, right in combinations(range(len(texts)), 2):
        same = shingles(texts[left]) == shingles(texts[right])
        assert (estimated[left, right] == 1) == same or similarity(texts[left], texts[right]) > 0.9


@pytest.mark.parametrize("script", LETTERS)
def test_equal_places_of_signatures_estimate_the_similarity(script: str) -> None:
    chance = random.Random(3)
    texts = ["".join(chance.choices(LETTERS[script], k=200)).strip()]
    texts += [edited(texts[0], share, LETTERS[script], chance) for share in (0.02, 0.05, 0.1, 0.2)]

    estimated = estimates(texts)

    for left, right in combinations(range(len(texts)), 2):
        assert estimated[left, right] == pytest.approx(
            similarity(texts[left], texts[right]), abs=0.12
        )


@pytest.mark.parametrize("script", LETTERS)
def test_planted_edits_are_found_and_nothing_else(script: str) -> None:
    texts, pairs = corpus(LETTERS[script], seed=5)

    leaders = leaders_of(texts)

    near = [pair for pair in pairs if similarity(texts[pair[0]], texts[pair[1]]) > THRESHOLD + 0.05]
    found = [pair for pair in near if leaders[pair[0]] == leaders[pair[1]]]
    assert len(near) >= 25
    assert len(found) >= 0.97 * len(near)
    # Whatever was joined is near by the signatures, and a random text is near to none.
    joined = {pair for pair in enumerate(leaders) if pair[0] != pair[1]}
    assert joined <= {(edit, text) for text, edit in pairs}
    estimated = estimates(texts)
    assert all(estimated[pair] >= THRESHOLD for pair in joined)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.booleans())
def test_clusters_do_not_depend_on_batches_or_their_order(batch: int, backwards: bool) -> None:
    assert leaders_of(TEXTS, batch=batch, backwards=backwards) == LEADERS


TEXTS = corpus(LETTERS["han"], seed=9)[0]
LEADERS = leaders_of(TEXTS)


@given(st.lists(any_text, min_size=1, max_size=9), st.data())
def test_signatures_are_the_same_from_memory_and_from_disk(
    texts: list[str], data: st.DataObject
) -> None:
    asked = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=20)), np.int64)
    made = signatures(pa.array(texts, pa.string()))
    with TemporaryDirectory() as place:
        read = []
        for name, memory_bytes in (("memory", 1 << 20), ("disk", 0)):
            store = SignatureStore(Path(place) / name, [THRESHOLD], memory_bytes=memory_bytes)
            store.add(made, 0)
            with store.signatures() as rows:
                read.append(rows[asked])
    assert np.array_equal(*read)


def test_an_array_that_is_let_go_keeps_what_it_holds(tmp_path: Path) -> None:
    kept = new_array(tmp_path / "kept", np.int64, 10_000)
    kept[:] = np.arange(10_000)
    release_pages(kept, np.zeros(3))
    assert np.array_equal(kept, np.arange(10_000))


def test_a_row_near_to_one_of_a_cluster_is_in_it_and_the_first_row_leads() -> None:
    text = "".join(random.Random(1).choices(LETTERS["han"], k=480))
    chain = [text[start : start + 400] for start in (0, 40, 80)]
    steps = [similarity(*pair) for pair in combinations(chain, 2)]
    threshold = 0.75
    assert steps[0] > threshold + 0.05
    assert steps[2] > threshold + 0.05
    assert steps[1] < threshold

    assert leaders_of(["something else", *chain], threshold) == [0, 1, 1, 1]


@pytest.mark.tier("test")
def test_many_equal_texts_cost_no_more_than_their_number() -> None:
    leaders = leaders_of(["the very same text"] * 20_000, batch=5_000)

    assert set(leaders) == {0}


def test_a_follower_of_an_exact_leader_follows_it_into_its_near_cluster(tmp_path: Path) -> None:
    text = "".join(random.Random(2).choices(LETTERS["latin"], k=300))
    texts = [text, text + "!", text + "!", "else"]
    store = SignatureStore(tmp_path / "near", [THRESHOLD])
    store.add(signatures(pa.array(texts)), 0)

    leaders = near_leaders(store, THRESHOLD, np.array([0, 1, 1, 3]), tmp_path / "leaders")

    assert leaders.tolist() == [0, 0, 0, 3]


def test_the_whole_stage_is_one_call(tmp_path: Path) -> None:
    batches = [TEXTS[:100], TEXTS[100:]]

    assert deduplicate(batches, THRESHOLD, tmp_path / "stage").tolist() == LEADERS


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_a_pair_at_the_threshold_is_probably_a_candidate(threshold: float) -> None:
    places = band_places(threshold)

    assert candidate_probability(threshold, places) >= CANDIDATE_RECALL
    assert 1 <= places <= PERMUTATIONS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40), st.integers(1, 40))
def test_joined_pairs_share_the_smallest_ordinal_of_their_cluster(
    pairs: list[tuple[int, int]], together: int
) -> None:
    joining = UnionFind(np.arange(30))
    for start in range(0, len(pairs), together):
        part = np.array(pairs[start : start + together], np.int64)
        joining.join(*joining.unconnected(part[:, 0], part[:, 1]))

    expected = list(range(30))
    for _ in expected:
        for left, right in pairs:
            expected[left] = expected[right] = min(expected[left], expected[right])
    assert joining.leaders().tolist() == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60))
def test_the_report_counts_all_and_lists_by_the_row_kept(values: list[int]) -> None:
    leaders = np.array([values.index(value) for value in values], np.int64)
    lines = np.arange(len(values)) + 2

    summary = summarise_clusters(leaders, lines)

    members = {
        first: [place + 2 for place, leader in enumerate(leaders) if leader == first != place]
        for first in sorted(set(leaders.tolist()))
    }
    assert summary.clusters == [
        Cluster(first + 2, dropped, len(dropped)) for first, dropped in members.items() if dropped
    ]
    assert summary.dropped_count == sum(map(len, members.values()))


def test_the_report_lists_a_hundred_clusters_and_a_hundred_lines_of_each() -> None:
    leaders = np.repeat(np.arange(120) * 150, 150)

    summary = summarise_clusters(leaders, np.arange(len(leaders)))

    assert len(summary.clusters) == 100
    assert summary.clusters[1] == Cluster(150, list(range(151, 251)), 149)
    assert summary.dropped_count == 120 * 149
