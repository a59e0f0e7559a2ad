"""Metrics of speech recognition."""
