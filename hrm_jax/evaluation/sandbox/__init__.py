"""Running programs that nobody vouches for, out of reach of the host."""
