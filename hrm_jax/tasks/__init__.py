"""Tasks: a model, its loss, its data and its metrics as one object."""
