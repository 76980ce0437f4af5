"""The graph of a model: its structure, copies of it, and running it step by step."""
