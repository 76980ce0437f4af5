"""Plots of results, with matplotlib (extra `plots`): each takes the axes to draw on, or makes some, and returns them."""
