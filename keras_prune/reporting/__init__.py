"""Results as tables, records and pages; progress of long work."""
