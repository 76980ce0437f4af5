"""What must be known of a Keras model before it is converted."""
