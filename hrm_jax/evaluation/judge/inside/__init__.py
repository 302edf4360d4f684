"""The programs inside the sandboxes; they import the standard library and each other only."""
