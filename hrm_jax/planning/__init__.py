"""Plans of work: who does what, when, and how sure that is."""
