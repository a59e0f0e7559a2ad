"""Doorway to the benchmark of ``infer``: ``python -m espnet3.parallel.bench``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the inference engine costs on this machine; return an exit status."""
    from espnet3.systems.base import infer_bench

    return infer_bench.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
