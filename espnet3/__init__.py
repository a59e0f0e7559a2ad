"""espnet3: train, evaluate and publish speech models from YAML recipes."""

__version__ = "0.1.0"
