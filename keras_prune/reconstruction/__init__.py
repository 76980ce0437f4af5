"""Reconstruction: what is left of a layer takes over the work of what was removed."""
