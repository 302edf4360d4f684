"""Forecasts of work, learned from a project's past: sizes, delays, sprints and completion.

Every estimate comes with an interval whose coverage was measured on what came later in time.
"""
