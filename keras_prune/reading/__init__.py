"""Reading files that are not trusted: what they hold is checked before it is used, and their sizes before memory is."""
