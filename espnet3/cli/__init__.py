"""The ``espnet3`` command: one module per verb, with ``add_parser`` and ``run``."""
