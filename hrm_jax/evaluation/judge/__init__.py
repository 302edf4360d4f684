"""Judges programs in sandboxes, by tests that the programs cannot see."""
