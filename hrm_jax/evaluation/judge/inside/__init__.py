"""What runs inside the sandboxes: standard library only, imports nothing but itself."""
