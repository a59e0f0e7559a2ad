"""What a demo of a recogniser shows when its configuration does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_ui_default() -> dict[str, Any]:
    """Return the page: speech in, text out."""
    return {
        "title": "ASR Demo",
        "inputs": [{"name": "speech", "type": "audio", "sources": ["mic", "upload"]}],
        "outputs": [{"name": "text", "type": "textbox"}],
    }


def build_ui(demo_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page of one demo.

    Args:
        demo_cfg: Demo configuration; ``ui.title`` replaces the title.
    """
    title = (demo_cfg.get("ui") or {}).get("title")
    return build_ui_default() | ({"title": title} if title else {})


def build_inference_default() -> dict[str, Any]:
    """Return which field of a result the page shows, and constants of the runner."""
    return {"output_keys": {"text": "hyp"}, "extra_kwargs": {}}
