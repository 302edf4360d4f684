"""Experiments with models that write code: `python -m experiments.codegen`."""
