"""Types, configs and numerics that every other package imports."""
