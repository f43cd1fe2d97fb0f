"""A run as one HTML page that plays without kernel or network."""
