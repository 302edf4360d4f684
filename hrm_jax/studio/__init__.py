"""A page that starts training runs and shows how they are: it reads folders, starts processes."""
