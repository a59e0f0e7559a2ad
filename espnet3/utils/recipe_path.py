"""Make a recipe's own code importable, here and in processes started from here."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger(__name__)


def running_recipe_dir() -> Path | None:
    """Return the folder of the running ``run.py``, unless it is a TEMPLATE's or there is none."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is None or Path(script).name != "run.py":
        return None
    folder = Path(script).resolve().parent
    return None if _is_template(folder) else folder


def activate_recipe(recipe_dir: Path) -> None:
    """Put a recipe folder first on the import path.

    Worker processes inherit it through ``PYTHONPATH``. TEMPLATE folders leave the path, because
    their ``src`` must not stand in for the recipe's; a ``src`` package of another recipe that this
    process has imported is forgotten.
    """
    folder = recipe_dir.resolve()
    others = [p for p in sys.path if p != str(folder) and not _is_template(Path(p))]
    sys.path[:] = [str(folder), *others]
    inherited = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    kept = [p for p in inherited if p != str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *kept])
    _forget_foreign_src(folder)
    if Path.cwd().resolve() != folder:
        logger.warning(
            "the working directory is %s, but the recipe is %s: relative paths in its "
            "configuration start at the former",
            Path.cwd(),
            folder,
        )


def _forget_foreign_src(folder: Path) -> None:
    package = sys.modules.get("src")
    places = [Path(place).resolve() for place in getattr(package, "__path__", [])]
    if package is None or folder / "src" in places:
        return
    for name in [n for n in sys.modules if n == "src" or n.startswith("src.")]:
        del sys.modules[name]


def _is_template(folder: Path) -> bool:
    return folder.parent.name == "TEMPLATE" and folder.parent.parent.name == "egs3"
