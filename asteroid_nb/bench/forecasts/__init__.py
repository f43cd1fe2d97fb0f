"""Benches of the STI-Transformer: how far its forecasts reach, beside every rival."""
