"""The linked explorers: they hold state and the only callbacks."""
