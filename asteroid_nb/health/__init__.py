"""Is everything in place? What `asteroid_nb.doctor` looks at, and how it says what to do."""
