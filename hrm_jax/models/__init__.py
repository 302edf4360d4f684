"""HRM, TRM, HRM-Text and Llama; HRM and TRM are two schedules over one recurrence."""
