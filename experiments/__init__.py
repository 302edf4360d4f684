"""Experiments: one short file each, flags -> preset -> Task -> loop."""
