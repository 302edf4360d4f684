"""Benchmarks of speed: the protocol, the machine, and one module for each suite."""
