"""Measures one GPU: correctness, speed and memory; see `suite`."""
