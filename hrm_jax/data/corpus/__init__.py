"""Corpora of text and code: projects, filters, and prepared corpora."""
