"""Code that a model wrote, run behind walls and judged."""
