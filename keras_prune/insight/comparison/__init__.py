"""`compare` and `compare_methods`: models and files side by side."""
