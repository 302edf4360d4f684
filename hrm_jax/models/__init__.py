"""HRM and TRM: two schedules over one recurrence, with adaptive computation time."""
