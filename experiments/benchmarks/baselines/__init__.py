"""Reference implementations in other frameworks: what ours is timed and checked against."""
