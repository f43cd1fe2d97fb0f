"""Every notebook as a page without kernel or network, showing what it showed when it was run, and an index of them."""
