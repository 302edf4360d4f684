"""Measurements of speed: the protocol, the machine they ran on, and one module per suite."""
