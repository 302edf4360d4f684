"""Sudoku: rules, solver, symmetries, generator, the shipped bank, and its dataset builder."""
