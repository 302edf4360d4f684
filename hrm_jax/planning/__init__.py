"""Who does what, and when: instances, the checker that no plan escapes, and the planners."""
