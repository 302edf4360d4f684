"""The Sudoku experiment; `python -m experiments.sudoku`."""
