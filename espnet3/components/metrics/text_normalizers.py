"""What is done to texts before they are compared, with an identity that scores can state."""

from __future__ import annotations

import dataclasses
import inspect
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.import_utils import import_object
from espnet3.utils.source_lookup import check_import_path

_PROBE = "ＡｂＣ ﬁ Straße İ É e\u0301 don't “co-op”, 1,000.5 € 3% 漢字 かな، हिन्दी\t x  y\u3000z…"
"""A text on which normalisers differ; its image is part of their hash."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One function on texts, with a name and a version."""

    name: str
    version: str
    """Changes whenever the function gives another result for any text."""
    function: Callable[[str], str]


class TextNormalizer:
    """Named steps, applied in turn; none of them leaves texts as they are.

    Args:
        steps: Steps in order.

    Example:
        >>> build_normalizer(["lowercase", "no_punctuation"])("Don't STOP, please!")
        "don't stop please"
    """

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self.steps = tuple(steps)

    def __call__(self, text: str) -> str:
        """Return the text that is compared.

        Raises:
            ConfigError: If a step gives no text.
        """
        for step in self.steps:
            text = step.function(text)
            if not isinstance(text, str):
                raise ConfigError(
                    f"returned {text!r}, which is a {type(text).__name__} and no text",
                    key="normalizer",
                    value=step.name,
                )
        return text

    def describe(self) -> dict[str, str]:
        """Return ``name``, ``version`` and ``hash``.

        The hash covers names and versions, and what becomes of a fixed text: scores can be compared
        where it is equal.
        """
        name = "+".join(step.name for step in self.steps) or "none"
        version = "+".join(step.version for step in self.steps) or "1"
        identity = fingerprint([name, version, self(_PROBE)])
        return {"name": name, "version": version, "hash": identity}


def build_normalizer(names: str | Iterable[str] | None) -> TextNormalizer:
    """Return the normaliser of one or more names; null leaves texts as they are.

    Args:
        names: ``nfkc`` (Unicode compatibility form), ``lowercase``, ``no_punctuation``,
            ``single_spaces``, ``no_spaces``, or the dotted path of a function on texts, whose
            version is a digest of its source.

    Raises:
        ConfigError: If there is no such normaliser, or it gives no text.
    """
    listed = [names] if isinstance(names, str) else list(names or ())
    normalizer = TextNormalizer([_find_step(name) for name in listed])
    normalizer(_PROBE)  # a function that gives no text is found before anything is scored
    return normalizer


def check_normalizer(name: str) -> ConfigError | None:
    """Return what is wrong with a name, found without importing; ``None`` if nothing is.

    Args:
        name: As for :func:`build_normalizer`.
    """
    if name in _STEPS:
        return None
    return check_import_path(name, key="normalizer") if "." in name else _unknown(name)


def _unknown(name: str) -> ConfigError:
    hint = did_you_mean(name, _STEPS) or (
        f"there are {', '.join(sorted(_STEPS))}; or name a function by its dotted path"
    )
    return ConfigError("is not a text normaliser", key="normalizer", value=name, hint=hint)


def _find_step(name: str) -> Step:
    if name in _STEPS:
        return _STEPS[name]
    if "." not in name:
        raise _unknown(name)
    function = import_object(name, key="normalizer")
    if not callable(function):
        raise ConfigError("must be a function on texts", key="normalizer", value=name)
    return Step(name=name, version=_digest_source(function), function=function)


def _digest_source(function: Any) -> str:
    try:
        # The whole module: what the function calls beside it counts too.
        source = inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError):
        return "unknown"
    return fingerprint(source)[:12]


_SPACES = re.compile(r"\s+")


def _normalize_form(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _join_spaces(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _drop_spaces(text: str) -> str:
    return _SPACES.sub("", text)


class _PunctuationTable(dict[int, str]):
    """For ``str.translate``: punctuation becomes a space, apostrophes become one kind."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in "'\u2019":
            char = "'"
        elif unicodedata.category(char).startswith("P"):
            char = " "
        self[code] = char
        return char


_PUNCTUATION = _PunctuationTable()
_OUTER_APOSTROPHES = re.compile(r"(?<!\w)'|'(?!\w)")


def _drop_punctuation(text: str) -> str:
    """Keep apostrophes inside words; other punctuation separates words."""
    return _join_spaces(_OUTER_APOSTROPHES.sub(" ", text.translate(_PUNCTUATION)))


_STEPS = {
    name: Step(name=name, version="1", function=function)
    for name, function in {
        "nfkc": _normalize_form,
        "lowercase": str.lower,
        "no_punctuation": _drop_punctuation,
        "single_spaces": _join_spaces,
        "no_spaces": _drop_spaces,
    }.items()
}
