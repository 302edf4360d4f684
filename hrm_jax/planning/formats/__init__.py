"""Files of tasks, people and plans, read and written."""
