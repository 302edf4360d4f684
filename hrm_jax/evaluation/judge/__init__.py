"""Judging programs by tests that they cannot see, in a sandbox."""
