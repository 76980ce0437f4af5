"""Whether a file computes what Keras does."""
