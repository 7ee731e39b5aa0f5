"""What is remembered of texts: little, not for long, and never the texts."""

from hypothesis import given
from hypothesis import strategies as st
from modelmill_moderation.domain.judge_answers import ScoreCache

SECONDS = 10
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "wait"]), st.sampled_from("abcde"), st.integers(1, 6))
)


@given(STEPS, st.integers(0, 3))
def test_the_score_cache_gives_recent_and_recently_used_entries(
    steps: list[tuple[str, str, int]], entries: int
) -> None:
    now = 0
    cache = ScoreCache(entries=entries, seconds=SECONDS, clock=lambda: now)
    put: dict[str, tuple[int, float]] = {}
    used: list[str] = []
    for step, text, number in steps:
        if step == "wait":
            now += number
            continue
        if step == "put":
            cache.put(text.encode(), {"hate": number / 10})
            put[text] = (now, number / 10)
        elif (found := cache.get(text.encode())) is None:
            in_use = [each for each in dict.fromkeys(reversed(used))][:entries]
            assert text not in in_use or now - put[text][0] >= SECONDS
            used = [each for each in used if each != text]
            continue
        else:
            assert now - put[text][0] < SECONDS
            assert found == {"hate": put[text][1]}
        used.append(text)


def test_the_score_cache_keeps_no_text() -> None:
    cache = ScoreCache(entries=9, seconds=SECONDS, clock=lambda: 0.0)
    cache.put(b"my secret", {"hate": 0.5})
    assert "secret" not in repr(vars(cache))
