"""Arrays in, numbers out: errors over the horizon, structure, spectra, conservation."""
