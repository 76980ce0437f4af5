"""`sensitivity`: the metric with each layer, or each group of channels, pruned alone."""
