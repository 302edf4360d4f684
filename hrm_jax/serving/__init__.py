"""Serves language models: over HTTP, in the protocols that editors and programs speak."""
