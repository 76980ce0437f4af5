"""Single weights: which are kept, and what those have to be, by the equations of their layer."""
