"""Progress of long loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    total: int, description: str, *, unit: str = "utt", initial: int = 0, shown: bool | None = None
) -> tqdm[Any]:
    """Return a bar that counts items with speed and remaining time.

    It draws itself on a terminal only; a log file is no place for hundreds of bars.

    Args:
        total: Number of items.
        description: Shown in front.
        unit: Name of an item.
        initial: Items that an earlier run has done.
        shown: Whether it draws itself; ``None`` does on a terminal.
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        initial=initial,
        disable=None if shown is None else not shown,
        dynamic_ncols=True,
        mininterval=0.5,
    )
