"""What is left of a model takes over the work of what was removed, without training: least squares on unlabelled data."""
