"""Sandboxes: programs of unknown origin run without access to the host."""
