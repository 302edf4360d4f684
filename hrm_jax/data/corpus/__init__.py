"""Corpora of text and code: projects, what is kept out of them, and what lies prepared."""
