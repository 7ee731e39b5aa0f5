"""Numbers are spread over all their bits, and stay as many as they were."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.mixing import mixed

NUMBERS = st.integers(0, 2**64 - 1)


def as_array(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_mixing_equals_splitmix64_with_seed_zero() -> None:
    """The first numbers of the generator of that paper, which steps by the golden ratio."""
    steps = as_array([n * 0x9E3779B97F4A7C15 % 2**64 for n in (1, 2, 3)])

    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mixed(steps).tolist() == first


@given(st.lists(NUMBERS, unique=True))
def test_different_numbers_stay_different_and_what_was_given_stays_as_it_was(
    numbers: list[int],
) -> None:
    given_numbers = as_array(numbers)

    assert len(set(mixed(given_numbers).tolist())) == len(numbers)
    assert given_numbers.tolist() == numbers


def test_each_bit_turned_turns_about_half_of_all_bits() -> None:
    numbers = mixed(np.arange(1, 2_001, dtype=np.uint64))
    for bit in range(64):
        turned = mixed(numbers) ^ mixed(numbers ^ np.uint64(1 << bit))
        ones = np.unpackbits(turned.view(np.uint8).reshape(len(numbers), 8), axis=1).mean(axis=0)
        assert abs(ones - 0.5).max() < 0.06
