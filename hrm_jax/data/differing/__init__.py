"""Cells that take one of n symbols, where given pairs of cells differ."""
