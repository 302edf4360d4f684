"""Measures one GPU: correctness, speed and memory; `suite` says how."""
