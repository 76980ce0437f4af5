"""What is left of a model takes over the work of what was removed: least squares on unlabelled data, no training."""
