"""``espnet3 demo``: serve a packed demo on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

_LAST_PORT = 65535


def add_parser(verbs: Any) -> None:
    """Add the verb to the parser of the command."""
    parser = verbs.add_parser(
        "demo",
        help="serve a packed demo as a web page",
        description="Serve a folder that pack_demo wrote, until it is stopped with Ctrl-C. Its "
        "app.py is not run.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the demo")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=7860, help="port to listen on")
    parser.add_argument(
        "--trust_user_code",
        action="store_true",
        help="run code that the demo brings or names; read it first",
    )
    parser.add_argument(
        "--try_out",
        action="store_true",
        help="run its app.py, ask it once and stop; needs --trust_user_code",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve the page, or ask it once."""
    from espnet3.demo.resolve import find_demo_file
    from espnet3.demo.trust import check_demo
    from espnet3.errors import UntrustedCodeError

    find_demo_file(args.folder)
    if args.try_out:
        from espnet3.demo.trial import try_out

        if not args.trust_user_code:
            raise UntrustedCodeError("--try_out runs app.py, so it needs --trust_user_code")
        sys.stdout.write(f"{args.folder}: answers {try_out(args.folder)!r}\n")
        return 0
    if not args.trust_user_code:
        check_demo(args.folder)
    _check_address(args.host, args.port)
    from espnet3.demo.app_builder import build_demo_app

    app = build_demo_app(args.folder)
    try:
        app.launch(server_name=args.host, server_port=args.port)
    except OSError:  # taken while the model was loaded: Gradio's advice is not about our flags
        _check_address(args.host, args.port)
        raise
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 1 to {_LAST_PORT}")
    return int(text)


def _check_address(host: str, port: int) -> None:
    """Raise before a model is loaded unless somebody can listen there."""
    import socket

    from espnet3.errors import ConfigError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror}",
            hint="give another --port or --host",
        ) from error
