"""The files that every packed demo has."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.demo.requirements import pin_requirements
from espnet3.publication.bundle import dump_yaml
from espnet3.utils.config_utils import to_plain
from espnet3.utils.path_utils import write_text
from espnet3.utils.types import PathLike

APP_FILE = "app.py"
REQUIREMENTS_FILE = "requirements.txt"


def setup_demo_assets(
    *,
    demo_dir: PathLike,
    demo_config: Mapping[str, Any],
    requirements: Sequence[str] | None = None,
    ui_templates: Mapping[str, Any] | None = None,
) -> None:
    """Write ``app.py``, ``requirements.txt`` and descriptions of pages into a demo folder.

    Args:
        demo_dir: Folder; made if absent.
        demo_config: Demo configuration; ``requirements`` counts if the argument is ``None``.
        requirements: Lines of ``requirements.txt``; by default all packages in use, pinned.
        ui_templates: Name → ``ui`` section, or its YAML, for ``ui_templates/<name>.yaml``.
    """
    folder = Path(demo_dir)
    folder.mkdir(parents=True, exist_ok=True)
    app = importlib.resources.files("espnet3.demo") / "templates" / APP_FILE
    write_text(folder / APP_FILE, app.read_text(encoding="utf-8"))
    lines = requirements if requirements is not None else to_plain(demo_config.get("requirements"))
    if lines is None:
        lines = pin_requirements()
    write_text(folder / REQUIREMENTS_FILE, "".join(f"{line}\n" for line in lines))
    for name, template in (ui_templates or {}).items():
        text = template if isinstance(template, str) else dump_yaml(to_plain(template))
        write_text(folder / "ui_templates" / f"{name}.yaml", text)
