"""Puzzle rules, generators, dataset builders and input pipelines."""
