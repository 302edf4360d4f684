"""Experiments: programs that build a task from flags and presets, and run it.

`common` is what they share.
"""
