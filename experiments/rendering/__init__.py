"""Pictures of a model solving Sudoku: what is drawn, and one module for each format."""
