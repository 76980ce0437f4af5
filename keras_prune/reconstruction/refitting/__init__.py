"""Layers of a smaller model, fitted one after the other to what the original computes."""
