"""Latin squares and colourings of graphs; `python -m experiments.relations`."""
