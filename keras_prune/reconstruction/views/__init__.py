"""Weights as linear maps: which columns they multiply, and what rows come out."""
