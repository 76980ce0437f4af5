"""Files for shipping: compressed, or as C arrays."""
