"""Optimisers as optax transformations: Adam-atan2, puzzle-row sign-SGD, EMA, schedules."""
