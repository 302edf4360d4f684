"""The experiment with models that write code; `python -m experiments.codegen`."""
