"""How much the interpolations of a bundle's configs may expand to.

Aliases of YAML are bounded when a file is read; a few interpolations that use each other can stand
for billions of texts just as well.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import Container, Node

from espnet3.errors import ConfigError

MOST_CHARACTERS = 10_000_000
"""In all that interpolations give; they are counted again wherever they are used."""
_PER_VALUE = 2000
"""What evaluating one interpolation counts as; it takes about half a millisecond."""
_PER_NODE = 10

_lock = threading.RLock()


_STEPS = ("_resolve_node_interpolation", "_evaluate_custom_resolver")
"""Methods of OmegaConf that evaluate one reference, be it a part of a text, and one resolver."""


@contextlib.contextmanager
def limited_resolution() -> Iterator[None]:
    """Stop OmegaConf inside the block before interpolations expand beyond all measure.

    Raises:
        ConfigError: If they do; OmegaConf makes an ``InterpolationResolutionError`` of it.
    """
    thread, spent = threading.get_ident(), 0

    def count(evaluate: Callable[..., Any]) -> Callable[..., Any]:
        def counted(self: Container, *args: Any, **kwargs: Any) -> Any:
            nonlocal spent
            value = evaluate(self, *args, **kwargs)
            if threading.get_ident() == thread:
                spent += _PER_VALUE + _weigh(value)
                if spent > MOST_CHARACTERS:
                    raise ConfigError(f"expands to more than {MOST_CHARACTERS} characters")
            return value

        return counted

    with _lock:
        before = {name: getattr(Container, name) for name in _STEPS}
        try:
            for name, evaluate in before.items():
                setattr(Container, name, count(evaluate))
            yield
        finally:
            for name, evaluate in before.items():
                setattr(Container, name, evaluate)


def _weigh(node: Any) -> int:
    """Return the characters of a value and of those in it, and something for each."""
    content = node._value() if isinstance(node, Node) else node
    if isinstance(content, dict | list):
        children = content.values() if isinstance(content, dict) else content
        return sum(_PER_NODE + _weigh(child) for child in children)
    return len(content) if isinstance(content, str) else 0
