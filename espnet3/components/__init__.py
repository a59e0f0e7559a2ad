"""Reusable parts of recipes: data, text, layers, optimizers, training, metrics, inference."""
