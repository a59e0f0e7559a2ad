"""Defaults that recipes build on, one folder per task."""
