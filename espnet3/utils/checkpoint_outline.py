"""Read everything but the tensors of a checkpoint: fast, and without torch."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from espnet3.errors import WeightsError


def read_outline(path: Path) -> Any:
    """Return the content of a checkpoint of ``torch.save``, with inert objects in place of tensors.

    No class or function that the file names is imported, so it may come from anywhere.

    Raises:
        WeightsError: If the file is damaged or has another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(names[0]) as stream:
                return _OutlineReader(stream).load()
    except (OSError, zipfile.BadZipFile, IndexError, ValueError, EOFError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    except (pickle.UnpicklingError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a checkpoint: {error}") from error


class _Inert:
    """Stands for any object; whatever a pickle does with it has no effect."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...


class _OutlineReader(pickle.Unpickler):  # noqa: S301 - resolves no name but OrderedDict
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        return _Inert()
