"""How much memory versions are taken to need, and what is left to promise."""

from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.domain.memory import GIB, MIB, MemoryReservations, cache_ceiling, estimate

SMOLLM2 = {
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "num_hidden_layers": 30,
}


def test_a_cache_is_no_larger_than_what_the_model_can_fill() -> None:
    small = cache_ceiling(4 * GIB, SMOLLM2, sequences=8, context_tokens=1000)

    assert small == 2 * 30 * 3 * 64 * 4 * 8 * 1000
    assert cache_ceiling(GIB, SMOLLM2, sequences=64, context_tokens=8192) == GIB
    for unknown in ({}, SMOLLM2 | {"num_attention_heads": 0}, SMOLLM2 | {"hidden_size": "x"}):
        assert cache_ceiling(GIB, unknown, sequences=8, context_tokens=1000) == GIB


def test_larger_weights_never_need_less() -> None:
    for engine in ("openvino", "transformers", "vllm", "one of tomorrow"):
        needs = [
            estimate("x", engine, weights, MIB).total_bytes for weights in (0, MIB, GIB, 70 * GIB)
        ]
        assert needs == sorted(needs)
        assert needs[-1] >= 70 * GIB


def test_what_a_server_holds_elsewhere_is_not_counted_here() -> None:
    assert estimate("x", "triton", 70 * GIB, GIB).total_bytes == 0


def test_a_version_that_drafts_has_weights_and_cache_twice_where_its_engine_keeps_them_apart():
    def need(engine: str, *, drafts: bool) -> int:
        return estimate("x", engine, GIB, MIB, drafts=drafts).total_bytes

    assert need("openvino", drafts=True) >= need("openvino", drafts=False) + GIB + MIB
    assert need("transformers", drafts=True) == need("transformers", drafts=False)


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["promise", "see", "strike"]),
        st.sampled_from("abc"),
        st.integers(min_value=0, max_value=1000),
    )
)


@given(ENTRIES)
def test_the_book_never_shares_out_more_than_there_is(
    entries: list[tuple[str, str, int]],
) -> None:
    """Limit and free memory both hold, whatever was promised, seen and struck before."""
    book = MemoryReservations()
    promised: dict[str, int] = {}
    taken: dict[str, int] = {}
    for what, name, amount in entries:
        if what == "promise":
            book.reserve(name, amount)
            promised[name] = amount
        elif what == "see" and name in promised:
            book.see(name, amount)
            taken[name] = amount
        elif what == "strike":
            book.remove(name)
            promised.pop(name, None)
            taken.pop(name, None)

    room = book.room(free_bytes=2000, limit_bytes=3000)

    still = sum(max(0, promised[name] - taken.get(name, 0)) for name in promised)
    assert room + sum(map(book.held, promised)) <= 3000
    assert room + still <= 2000
    assert sorted(book.versions()) == sorted(promised)
