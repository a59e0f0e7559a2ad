"""The tables of hostile bundles in the security guide.

``python -m tests.unit.publication.hostile_guide`` writes them.
"""

from __future__ import annotations

from tests.conftest import REPO_ROOT
from tests.unit.publication.hostile_bundles import KINDS
from tests.unit.publication.inert_bundles import INERT

PAGE = REPO_ROOT / "docs" / "guides" / "security.md"


def render_tables() -> list[str]:
    """Return the tables of the guide."""
    refused = [("bundle", "tries to", "error")]
    refused += [(kind.kind, kind.does, f"`{kind.error}`") for kind in KINDS]
    inert = [("what lies in it", "what it"), *((kind.kind, kind.does) for kind in INERT)]
    return [_render(refused), _render(inert)]


def _render(rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def replace_tables(page: str) -> str:
    """Return the page with the tables as they are now."""
    for table in render_tables():
        start = page.index(table.partition("\n")[0])
        end = page.index("\n\n", start)
        page = page[:start] + table + page[end:]
    return page


if __name__ == "__main__":
    PAGE.write_text(replace_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
