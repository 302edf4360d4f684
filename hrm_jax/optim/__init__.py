"""Optimisers as optax transformations: Adam-atan2, SOAP, puzzle-row sign-SGD, EMA, schedules."""
