"""Serve this demo: ``python app.py``. Host and port: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT."""

from __future__ import annotations

from pathlib import Path

from espnet3.demo.app_builder import build_demo_app

DEMO_DIR = Path(__file__).resolve().parent


def main() -> None:
    """Build the page and serve it until the program is stopped."""
    build_demo_app(DEMO_DIR).launch()


if __name__ == "__main__":
    main()
