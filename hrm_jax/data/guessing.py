"""Guesses of a depth-first search for what cells may hold; compiled by numba.

A state has a mask for each cell: uint32, bit i for candidate i. States that are still to be
searched are rows of a stack, of which the last is searched next.
"""

import numba
import numpy as np

MOST_GUESSES = 20_000
"""After so many guesses a search ends without a result, unless told otherwise."""


@numba.njit(cache=True)
def count_bits(mask):
    """Returns the number of candidates in a mask."""
    bits = 0
    while mask:
        # Removes the lowest bit that is set.
        mask &= mask - np.uint32(1)
        bits += 1
    return bits


@numba.njit(cache=True)
def cell_with_fewest(state):
    """Returns the first cell with fewest candidates of those with several; -1 if there is none."""
    best = -1
    fewest = 33
    for cell in range(state.size):
        bits = count_bits(state[cell])
        if 1 < bits < fewest:
            best = cell
            fewest = bits
            # No cell with several has fewer.
            if bits == 2:
                break
    return best


@numba.njit(cache=True)
def write_solution(state, solution):
    """Writes the numbers, from 1, of a state's candidates, of which each cell has one."""
    for cell in range(state.size):
        # Below the one bit of candidate i there are i others.
        solution[cell] = count_bits(state[cell] - np.uint32(1)) + 1


@numba.njit(cache=True)
def guess(states, waiting, cell, order):
    """Splits the last of the waiting states by a guess; returns the stack, which may be larger.

    The state without the guess stays in place, and the one with it comes behind, so that it is
    searched first.

    Args:
      states: the stack.
      waiting: number of its rows that are still to be searched.
      cell: one with several candidates, of which the first in `order` is guessed.
      order: candidates, each once.
    """
    # A path has at most one guess for each candidate, of which the stack may have too few rows.
    if waiting == states.shape[0]:
        states = np.concatenate((states, np.empty_like(states)))
    state = states[waiting - 1]
    guessed = np.uint32(0)
    for candidate in order:
        if state[cell] >> np.uint32(candidate) & np.uint32(1):
            guessed = np.uint32(1) << np.uint32(candidate)
            break
    states[waiting] = state
    state[cell] &= ~guessed
    states[waiting, cell] = guessed
    return states
