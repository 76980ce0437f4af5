"""Runs files in LiteRT: outputs, latency, comparison."""
