"""Files to ship: compressed, or as C arrays."""
