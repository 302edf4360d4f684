"""Backlogs and teams drawn by a seed, as the published files of sprints and issues have them."""
