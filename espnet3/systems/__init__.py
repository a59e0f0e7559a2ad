"""Workflows: the base system and one package per task."""
