"""Verified writing: candidates are written, run against tests in a sandbox, and chosen."""
