"""Reader of `.tflite` files that checks every offset."""
