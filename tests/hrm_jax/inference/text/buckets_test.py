from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.inference.text.buckets import LEAST, bucket, power_of_two


@given(st.integers(0, 100_000))
def test_a_bucket_holds_its_length_with_little_padding(length):
    size = bucket(length)
    assert size >= length
    assert size == LEAST or 3 * (size - length) <= size


def test_there_are_few_buckets():
    assert len({bucket(length) for length in range(8193)}) == 17


def test_a_bucket_is_its_own():
    for length in (1, 40, 100, 1000):
        assert bucket(bucket(length)) == bucket(length)


@given(st.integers(1, 1000))
def test_batches_are_powers_of_two(count):
    size = power_of_two(count)
    assert size.bit_count() == 1
    assert count <= size < 2 * count
