"""Count what a model consists of, without running it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn


def build_model_summary(model: nn.Module) -> dict[str, Any]:
    """Describe a model: parameters, buffers, modules, bytes and number formats.

    Returns:
        ``class_name``, ``total_params``, ``trainable_params``, ``non_trainable_params``,
        ``trainable_ratio`` (percent), ``size_bytes``, ``total_buffers``, ``buffer_size_bytes``,
        ``module_count``, ``leaf_module_count``, ``dtype_desc``, ``repr``, and ``*_display``
        strings of the counts and sizes.
    """
    parameters = list(model.parameters())
    buffers = list(model.buffers())
    modules = list(model.modules())
    total = sum(p.numel() for p in parameters)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    counts: dict[str, Any] = {
        "total_params": total,
        "trainable_params": trainable,
        "non_trainable_params": total - trainable,
        "total_buffers": sum(b.numel() for b in buffers),
        "module_count": len(modules),
        "leaf_module_count": sum(1 for m in modules if not any(m.children())),
    }
    sizes = {
        "size_bytes": sum(p.numel() * p.element_size() for p in parameters),
        "buffer_size_bytes": sum(b.numel() * b.element_size() for b in buffers),
    }
    return {
        "class_name": type(model).__name__,
        "repr": repr(model),
        "trainable_ratio": 100.0 * trainable / total if total else 0.0,
        "dtype_desc": _describe_dtypes([*parameters, *buffers]),
        **counts,
        **sizes,
        **{f"{key}_display": format_count(value) for key, value in counts.items()},
        **{f"{key}_display": format_bytes(value) for key, value in sizes.items()},
    }


def format_count(value: int) -> str:
    """Format a count with three digits and a unit.

    Example:
        >>> format_count(532480), format_count(12)
        ('532 K', '12')
    """
    return _scale(value, 1000, ("", "K", "M", "G", "T"))


def format_bytes(value: int) -> str:
    """Format a size in bytes.

    Example:
        >>> format_bytes(2129920)
        '2.03 MiB'
    """
    return _scale(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _scale(value: float, base: int, units: tuple[str, ...]) -> str:
    index = 0
    while value >= base and index < len(units) - 1:
        value /= base
        index += 1
    return f"{value:.3g} {units[index]}".strip()


def _describe_dtypes(tensors: list[Any]) -> str:
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[str(tensor.dtype)] += tensor.numel()
    total = sum(counts.values())
    if not total:
        return "none"
    # Largest remainders: tenths of a percent that add up to 100.
    tenths = {name: 1000 * count // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: -(1000 * counts[name] % total))
    for name in by_remainder[: 1000 - sum(tenths.values())]:
        tenths[name] += 1
    return ", ".join(f"{name}({tenths[name] / 10:.1f}%)" for name, _ in counts.most_common())
