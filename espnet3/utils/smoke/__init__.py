"""Smoke mode: every stage of a recipe at toy size, on a CPU, in folders of its own.

``rules`` shrinks what it finds in the merged configurations, ``folders`` moves what is written,
``refinement`` reads the recipe's ``conf/smoke.yaml``, ``shrink`` brings them together, and ``flow``
is what ``run.py`` does differently.
"""

from __future__ import annotations
