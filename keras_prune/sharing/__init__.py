"""Weight sharing: k-means -> clusters -> a model that trains with them. (No imports here: wrappers.py needs `state`.)"""
