"""Weight sharing: k-means -> clusters -> a model that trains with them. No imports: wrappers.py needs `state`."""
