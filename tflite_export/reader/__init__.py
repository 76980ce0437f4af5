"""Reads `.tflite` files, every offset checked."""
