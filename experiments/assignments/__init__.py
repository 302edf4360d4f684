"""The assignments of work: `python -m experiments.assignments`; see docs/assignments.md."""
