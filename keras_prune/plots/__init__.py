"""Plots of results, with matplotlib (extra `plots`). Each draws on the axes it is given, or on new ones."""
