"""Rounds lengths up to a few sizes, so that a few compiled programs serve all."""

LEAST = 32


def bucket(length: int, least: int = LEAST) -> int:
    """Returns the smallest of `least * 2**n` and `least * 1.5 * 2**n` that holds `length`.

    With two buckets to a factor of two, padding is at most a third of a bucket, and all lengths up
    to 8,192 share 17 programs.

    Args:
      length: the length to hold, 0 or more.
      least: the smallest bucket, even.
    """
    size = least
    while size < length:
        if length <= size * 3 // 2:
            return size * 3 // 2
        size *= 2
    return size


def power_of_two(count: int) -> int:
    """Returns the smallest power of two that is `count` or more, for sizes of batches."""
    return 1 << max(count - 1, 0).bit_length()
