"""Latin squares and colourings of graphs as tasks: cells that have to differ."""
