"""``python -m espnet3`` is the ``espnet3`` command."""

from __future__ import annotations

import sys

from espnet3.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
