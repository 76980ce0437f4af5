"""Files in LiteRT: outputs, latency, comparison."""
