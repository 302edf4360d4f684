"""What every experiment shares: flags, terminal, curves, and the settings of its process."""
