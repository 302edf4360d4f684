"""HRM and TRM as functional Flax modules: models, losses, optimisers, data, training."""
