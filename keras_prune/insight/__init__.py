"""Looking at models: what is pruned, what it costs, what it gains."""
