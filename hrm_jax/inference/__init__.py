"""Running trained models on puzzles."""
