"""Selects the rows of each batch: deterministic, resumable, split over processes.

Epochs laid end to end form one sequence of rows; batch k is rows k * G to (k + 1) * G of it, where
G is the batch size of all processes together, and process p takes the p-th part. A batch is
therefore a pure function of (source, config, k): a grain `MapDataset` over k gives prefetching and
a state of one number.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hrm_jax.core.config import check, configclass, field

if TYPE_CHECKING:
    import grain

Arrays = dict[str, np.ndarray]

# Longer than any run: 10^12 batches. Grain needs a length even for an endless sequence.
_ENDLESS = 10**12


@configclass
class RowsConfig:
    """The configuration of batches: their size and order, and the share of this process.

    Attributes:
      batch_size: rows a batch on this process; all processes have the same.
      seed: of the order and of all else that is drawn; equal on all processes.
      shuffle: whether each epoch has an order of its own; False keeps the order of the source.
      num_epochs: passes over the source; None for no end.
      drop_remainder: whether the rows left over at the very end are dropped, or filled up with rows
        whose labels are all ignored. Epochs in between leave nothing over: they are joined.
      process_index: which process this is, 0 <= process_index < process_count.
      process_count: number of processes.
      prefetch_batches: batches prepared ahead in a thread; 0 prepares each when it is asked for.
    """

    batch_size: int = field(at_least=1)
    seed: int = field(0, at_least=0)
    shuffle: bool = True
    num_epochs: int | None = field(None, at_least=1)
    drop_remainder: bool = True
    process_index: int = field(0, at_least=0)
    process_count: int = field(1, at_least=1)
    prefetch_batches: int = field(2, at_least=0)

    def __post_init__(self) -> None:
        """Raises ConfigError where there is no such process."""
        check(
            self.process_index < self.process_count,
            "process_index",
            expected=f"less than process_count={self.process_count}",
            got=self.process_index,
            remedy="count from 0",
        )

    @property
    def global_batch_size(self) -> int:
        """Rows a batch on all processes together."""
        return self.batch_size * self.process_count


def num_batches(num_rows: int, config: RowsConfig) -> int | None:
    """Returns how many batches a source of `num_rows` gives; None if they never end."""
    if config.num_epochs is None:
        return None
    whole, rest = divmod(config.num_epochs * num_rows, config.global_batch_size)
    return whole if config.drop_remainder or rest == 0 else whole + 1


def batches_of_rows(
    num_rows: int, config: RowsConfig, make_batch: Callable[[np.ndarray, int], Arrays]
) -> "grain.DatasetIterator[Arrays]":
    """Returns an iterator over batches.

    Args:
      num_rows: rows of the source.
      config: size, order, and share of this process.
      make_batch: makes a batch from its rows (int64, `batch_size` of them, fewer in the last one)
        and the position of the first of them in the sequence of all epochs. A pure function.

    Returns:
      An iterator over batches. `get_state()` is a dictionary that can be written as JSON; after
      `set_state(state)` an iterator with the same source and config goes on exactly where the state
      was taken.

    Raises:
      ValueError: not one batch would come.
    """
    count = num_batches(num_rows, config)
    if count == 0:
        raise ValueError(
            f"{config.num_epochs} epoch(s) of {num_rows} rows do not fill one batch of"
            f" {config.global_batch_size}: lower batch_size, raise num_epochs, or set"
            " drop_remainder=False"
        )

    @functools.lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
    def order_of(epoch: int) -> np.ndarray:
        # A seed of two numbers, so that an epoch's order needs no state of the epochs before it.
        return np.random.default_rng([config.seed, epoch]).permutation(num_rows)

    def rows_at(positions: np.ndarray) -> np.ndarray:
        epochs, offsets = np.divmod(positions, num_rows)
        if not config.shuffle:
            return offsets
        rows = np.empty_like(offsets)
        # One pass for each epoch in the batch: two at most, unless the source is smaller than a
        # batch.
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = order_of(int(epoch))[offsets[here]]
        return rows

    def batch_at(step: int) -> Arrays:
        # The rows of a batch lie in a run, and each process takes its part of it. With the same
        # config on all processes they agree without communication.
        first = step * config.global_batch_size + config.process_index * config.batch_size
        end = first + config.batch_size
        if config.num_epochs is not None:
            # The end of the last epoch may fall before this process's part; `max` makes that part
            # empty.
            end = max(first, min(end, config.num_epochs * num_rows))
        return make_batch(rows_at(np.arange(first, end)), first)

    import grain  # half a second, which those who only solve do not spend

    # One thread is enough, as each element is a whole batch; none at all if nothing is prefetched.
    options = grain.ReadOptions(
        num_threads=min(1, config.prefetch_batches), prefetch_buffer_size=config.prefetch_batches
    )
    batches = grain.MapDataset.range(_ENDLESS if count is None else count).map(batch_at)
    return iter(batches.to_iter_dataset(options))
