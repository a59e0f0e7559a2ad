"""Code of the recipe."""
