"""Chooses what of a project's files a model is to see beside the one that is written."""
