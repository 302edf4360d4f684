"""Evaluation of trained models: accuracy of puzzles, and of written code."""
