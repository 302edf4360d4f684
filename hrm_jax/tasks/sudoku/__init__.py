"""Sudoku as a task."""
