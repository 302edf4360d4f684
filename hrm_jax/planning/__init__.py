"""Who does what, and when, and how sure that is: the checker that no plan escapes, and planners."""
