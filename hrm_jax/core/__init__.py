"""Types, configs and numerics that every other floor stands on."""
