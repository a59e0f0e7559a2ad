"""Exceptions raised by espnet3.

::

    Espnet3Error
    ├─ ConfigError(ValueError)             a value in YAML, a flag or an argument is wrong
    │   ├─ UnknownKeyError                 a key that nothing reads
    │   ├─ SettingError(AssertionError)    a combination of settings that cannot work
    │   └─ MissingConfigError(RuntimeError)  a required section, key or file is absent
    │       └─ MissingFileError(FileNotFoundError)  a configuration file is absent
    ├─ StageError(RuntimeError)            a stage cannot start
    ├─ DataError(ValueError)               a data set, split or utterance is unusable
    │   ├─ InputKeyError(KeyError)         a sample lacks a field that the model needs
    │   └─ ScpError(AssertionError)        an SCP file is absent, damaged or does not match another
    ├─ ModelOutputError(TypeError)         a model returned something unreadable
    ├─ InferenceError(RuntimeError)        a test set cannot be decoded
    ├─ ParallelError(RuntimeError)         a worker failed
    ├─ BundleError(RuntimeError)           a packed model is incomplete or damaged
    ├─ HubError(RuntimeError)              the model hub cannot be reached or refuses
    ├─ WeightsError(RuntimeError)          a weight file does not fit the model
    ├─ UntrustedCodeError(ValueError)      a bundle wants to run code that nobody allowed
    │   ├─ UntrustedTargetError
    │   └─ UnsafeCheckpointError
    └─ MissingDependencyError(ImportError, RuntimeError)  an optional package is absent

Each class also derives from the built-in exception that a caller would expect, so
``except ValueError`` keeps working. A message says what is wrong (with the value), where
(key and file, or utterance) and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

BUILD_NOTE = "while building "
"""How a note begins that says which configured object raised an error."""


class _Unset:
    """Stands for a value that was not given. The class itself, so it survives pickling."""


_UNSET: Any = _Unset


class Espnet3Error(Exception):
    """Base of every exception that espnet3 raises on purpose."""

    # Workers send errors through pickle, and the built-in parents would each do it in their way.
    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...], dict[str, Any]]:
        return type(self), self.args, self.__dict__


class ConfigError(Espnet3Error, ValueError):
    """A configured value is wrong.

    Args:
        message: What is wrong, in one sentence.
        key: Dotted configuration key, for example ``dataloader.train.batch_size``.
        file: YAML file that holds the key.
        line: Line of the key in ``file``, counted from 1.
        value: The offending value; shown with ``repr`` when given.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        file: str | Path | None = None,
        line: int | None = None,
        value: Any = _UNSET,
        hint: str | None = None,
    ) -> None:
        place = ":".join(str(part) for part in (file, line) if part is not None)
        setting = key or ""
        if key and value is not _UNSET:
            setting = f"{key} = {value!r}"
        head = ": ".join(part for part in (place, setting, message) if part)
        text = f"{head}\n  {hint}" if hint else head
        super().__init__(text)
        # Set here, because some of the built-in parents of subclasses set them too.
        self.args = (text,)
        self.message = message
        self.key = key
        self.file = file
        self.line = line
        self.hint = hint
        self.value = None if value is _UNSET else value
        self._value = value

    def at(
        self,
        file: str | Path | None,
        line: int | None = None,
        *,
        key: str | None = None,
        hint: str | None = None,
    ) -> Self:
        """Return the same error with the place where the key was written.

        Args:
            file: YAML file, or whatever else the value comes from.
            line: Line in ``file``, counted from 1.
            key: Replaces the key.
            hint: Used when the error has no hint yet.
        """
        return type(self)(
            self.message,
            key=key or self.key,
            file=file,
            line=line,
            value=self._value,
            hint=self.hint or hint,
        )


class UnknownKeyError(ConfigError):
    """A key in a section that the framework owns is not one that anything reads."""


class SettingError(ConfigError, AssertionError):
    """Settings contradict each other or lie outside their range."""


class MissingConfigError(ConfigError, RuntimeError):
    """A section, key or file that this stage needs is absent."""


class MissingFileError(MissingConfigError, FileNotFoundError):
    """A file that a flag or a configuration names does not exist."""


class StageError(Espnet3Error, RuntimeError):
    """A stage cannot start, for example because its slot is empty or its lock is held."""


class DataError(Espnet3Error, ValueError):
    """A corpus, manifest, split or utterance cannot be used."""


class InputKeyError(DataError, KeyError):
    """A sample lacks a field that the model needs."""

    # KeyError shows the repr of its message.
    __str__ = Exception.__str__


class ScpError(DataError, AssertionError):
    """An SCP file is absent or damaged, or its ids are not those of another one."""


class ModelOutputError(Espnet3Error, TypeError):
    """A model returned something that the framework cannot interpret."""


class InferenceError(Espnet3Error, RuntimeError):
    """A test set cannot be decoded."""


class ParallelError(Espnet3Error, RuntimeError):
    """Work on another process or machine failed."""


class BundleError(Espnet3Error, RuntimeError):
    """A packed model is incomplete, damaged or of an unknown format."""


class HubError(Espnet3Error, RuntimeError):
    """The Hugging Face Hub cannot be reached, or refuses what was asked of it."""


class WeightsError(Espnet3Error, RuntimeError):
    """A weight file cannot be read or does not fit the model."""


class UntrustedCodeError(Espnet3Error, ValueError):
    """A bundle asks for code to run that its user has not allowed."""


class UntrustedTargetError(UntrustedCodeError):
    """A ``_target_`` or function path of an untrusted bundle is not on the allow-list."""


class UnsafeCheckpointError(UntrustedCodeError):
    """A checkpoint of an untrusted bundle can only be read by running code."""


class MissingDependencyError(Espnet3Error, ImportError, RuntimeError):
    """An optional package is needed for what was asked and is not installed."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """Return a hint that names the closest candidates, or ``None`` when nothing is close.

    Example:
        >>> did_you_mean("batch_sise", ["batch_size", "shuffle"])
        'did you mean "batch_size"?'
    """
    known = list(dict.fromkeys(map(str, candidates)))
    close = difflib.get_close_matches(str(name), known, n=2, cutoff=0.6)
    if not close:
        return None
    return "did you mean " + " or ".join(f'"{c}"' for c in close) + "?"
