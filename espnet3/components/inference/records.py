"""Output functions and the records that they return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from espnet3.errors import ConfigError, DataError, InputKeyError, ModelOutputError
from espnet3.utils.import_utils import import_object

OutputFn: TypeAlias = Callable[..., Any]
"""``output_fn(data=..., model_output=..., idx=...)`` returns a record, or a list of them."""

_PARAMETERS = ("data", "model_output", "idx")


def load_output_fn(path: str, *, key: str = "output_fn") -> OutputFn:
    """Import an output function and check that it can be called with our keywords.

    Args:
        path: Dotted path of the function.
        key: Configuration key that holds ``path``, for messages.

    Raises:
        ConfigError: If it cannot be imported, is not callable or does not take the keywords
            ``data``, ``model_output`` and ``idx``.
        UntrustedTargetError: If the active policy refuses it.
    """
    function = import_object(path, key=key)
    if not callable(function):
        raise ConfigError("is not callable", key=key, value=path)
    try:
        inspect.signature(function).bind(**dict.fromkeys(_PARAMETERS))
    except TypeError as error:
        raise ConfigError(
            f"cannot be called with the keywords {', '.join(_PARAMETERS)}: {error}",
            key=key,
            value=path,
            hint="write it as `def build_output(data, model_output, idx)`",
        ) from error
    except ValueError:
        # Some callables written in C have no signature; the first call will tell.
        pass
    return function  # type: ignore[no-any-return]


def as_names(value: str | Sequence[str] | None) -> list[str]:
    """Return one name, several names or none as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(name) for name in value]


def select_inputs(data: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a sample that the model takes.

    Raises:
        InputKeyError: If the sample lacks one.
        DataError: If it has no fields, because it is no dict.
    """
    if not hasattr(data, "keys"):
        raise DataError(
            f"a sample must be a dict of named fields, but the data set gave a "
            f"{type(data).__name__}\n  return for example {{'utt_id': ..., 'speech': ...}}"
        )
    for key in keys:
        if key not in data:
            present = ", ".join(map(str, data))
            raise InputKeyError(f"Input key '{key}' is not in the sample, which has: {present}")
    return {key: data[key] for key in keys}


def iter_records(outputs: Iterable[Any]) -> Iterator[Any]:
    """Yield every output; the entries of a list one by one."""
    for output in outputs:
        if isinstance(output, list):
            yield from output
        else:
            yield output


def check_record(record: Any, *, idx_key: str, fields: Sequence[str] = ()) -> None:
    """Raise unless a record is a dict with one sample id and all ``fields``.

    Raises:
        ModelOutputError: If it is not a dict, or its id is a list.
        DataError: If the id or a field is absent.
    """
    if not isinstance(record, Mapping):
        raise ModelOutputError(
            f"Expected dict output, got {type(record).__name__}\n"
            "  let `output_fn` return a dict with the sample id and one value per output"
        )
    if idx_key not in record:
        raise DataError(
            f"the output lacks the sample identifier key (idx_key='{idx_key}'); "
            f"it has: {', '.join(map(str, record))}"
        )
    if isinstance(record[idx_key], list | tuple):
        raise ModelOutputError(
            f"'{idx_key}' must be a single value, got {record[idx_key]!r}\n"
            "  with `batch_size` set, `output_fn` must return a list of dicts"
        )
    missing = [name for name in fields if name not in record]
    if missing:
        raise DataError(
            f"the output of sample {record[idx_key]!r} lacks {', '.join(sorted(missing))}; "
            f"it has: {', '.join(map(str, record))}"
        )
