"""Tests of planning: most of them plan."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def planner(compiled_planner):
    """The planner, compiled before any test."""
