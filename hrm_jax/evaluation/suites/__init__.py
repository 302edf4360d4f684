"""Suites of programming problems, by name."""
