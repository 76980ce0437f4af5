"""Plots of results, with matplotlib (extra `plots`): each draws on the axes it is given, or on new ones; returns them."""
