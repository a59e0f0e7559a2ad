"""Interpolations that configurations may use beside OmegaConf's own.

``${load_line:path}`` is the list of a file's lines, ``${load_yaml:path,key}`` a value of another
YAML file, ``${self_name:}`` the stem of the configuration file.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError
from espnet3.utils.types import PathLike
from espnet3.utils.yaml_source import file_stamp

logger = logging.getLogger(__name__)

_SELF_NAME = re.compile(r"(?<!\\)\$\{\s*self_name\s*:\s*\}")
_FILE_RESOLVER = re.compile(
    r"""(?P<head>\$\{\s*load_(?:line|yaml)\s*:\s*)
    (?: (?P<quote>['"])(?P<quoted>(?:(?!(?P=quote)).)*)(?P=quote)
      | (?P<plain>[^'",{}]*[^'",{}\s]) )
    (?=\s*[,}])""",
    re.VERBOSE,
)
_EMPTY_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:[^{},]*,)\s*\}")
_UNQUOTED = re.compile(r"[\w/.-]+", re.ASCII)

_searched: ContextVar[bool] = ContextVar("espnet3_searched_stage", default=False)

STAGE_OUTPUTS = (
    ("tokenizer.save_path", "train_tokenizer"),
    ("stats_dir", "collect_stats"),
    ("data_dir", "create_dataset"),
    ("exp_dir", "train"),
)
"""Configuration keys of folders, and the stage that fills them; the first match counts."""


def load_line(path: PathLike) -> list[str]:
    """Read a text file into a list of lines, each without surrounding whitespace.

    Blank lines are kept as ``""``; the last line needs no newline.

    Raises:
        FileNotFoundError: If the file does not exist (logged as an error too).
        PermissionError: If it may not be read (logged as an error too).
        ConfigError: If it is no regular file, or too large.
    """
    try:
        return list(_read_lines(Path(path), file_stamp(path)))
    except FileNotFoundError:
        logger.error("load_line: no such file: %s", path)
        raise
    except PermissionError:
        logger.error("load_line: no permission to read %s", path)
        raise


@functools.lru_cache(maxsize=16)
def _read_lines(path: Path, stamp: tuple[int, int, int]) -> tuple[str, ...]:
    with path.open(encoding="utf-8") as stream:
        return tuple(line.strip() for line in stream)


def bind_self_name(value: Any, name: str) -> Any:
    """Replace ``${self_name:}`` in all strings of plain containers."""
    return map_strings(value, lambda text: _SELF_NAME.sub(lambda _: name, text))


def make_paths_absolute(value: Any, folder: Path) -> Any:
    """Make relative paths of file-reading resolvers absolute, in all strings of containers."""

    def rewrite(match: re.Match[str]) -> str:
        quote, path = match["quote"], match["quoted"] if match["quote"] else match["plain"]
        if "${" in path or Path(path).is_absolute():
            return match[0]
        path = os.path.abspath(folder / path)  # noqa: PTH100 - resolve() would follow links
        if not quote and not _UNQUOTED.fullmatch(path):
            quote = "'"
        escaped = path.replace(quote, f"\\{quote}") if quote else path
        return f"{match['head']}{quote or ''}{escaped}{quote or ''}"

    return map_strings(value, lambda text: _FILE_RESOLVER.sub(rewrite, text))


def quote_empty_defaults(value: Any) -> Any:
    """Write ``${oc.env:NAME,}`` as ``${oc.env:NAME,''}``, which OmegaConf prefers."""
    return map_strings(value, lambda text: _EMPTY_DEFAULT.sub(r"\1''}", text))


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain containers with every string value (not key) replaced by ``change(value)``."""
    if isinstance(value, str):
        return change(value) if "${" in value else value
    if isinstance(value, dict):
        return {key: map_strings(child, change) for key, child in value.items()}
    if isinstance(value, list):
        return [map_strings(child, change) for child in value]
    return value


def _resolve_load_line(path: str, *, _root_: DictConfig) -> list[str]:
    try:
        return list(_read_lines(Path(path), file_stamp(path)))
    except FileNotFoundError as error:
        raise _not_written_yet(path, _root_) from error


def _resolve_self_name(*name: str) -> str:
    if name:
        return name[0]
    raise ConfigError(
        "${self_name:} is the stem of a configuration file, but this configuration was built in "
        "memory",
        hint="load it from a file, or write the name out",
    )


def _not_written_yet(path: str, root: DictConfig) -> FileNotFoundError:
    # A folder that is looked at for the stage may itself depend on the missing file.
    token = _searched.set(True)
    try:
        stage = None if token.old_value is True else producing_stage(path, root)
    finally:
        _searched.reset(token)
    text = os.strerror(errno.ENOENT) + (f" (the stage {stage} writes it)" if stage else "")
    return FileNotFoundError(errno.ENOENT, text, str(path))


def producing_stage(path: PathLike, config: DictConfig) -> str | None:
    """Return the stage whose output folder holds ``path``, if the configuration tells."""
    target = Path(path).absolute()
    for key, stage in STAGE_OUTPUTS:
        try:
            folder = OmegaConf.select(config, key, default=None, throw_on_missing=False)
        except OmegaConfBaseException:
            continue
        if isinstance(folder, str) and target.is_relative_to(Path(folder).absolute()):
            return stage
    return None


OMEGACONF_ESPNET3_RESOLVER: dict[str, Callable[..., Any]] = {
    "load_line": _resolve_load_line,
    "self_name": _resolve_self_name,
}
"""Resolvers that this package registers, by name."""


def register_resolvers(load_yaml_value: Callable[[str, str | None], Any]) -> None:
    """Register the resolvers with OmegaConf; calling it again changes nothing.

    Args:
        load_yaml_value: Reads a key of a YAML file, or the whole file for ``None``; composing
            files is the business of the caller.
    """

    def resolve_load_yaml(path: str, key: str | None = None, *, _root_: DictConfig) -> Any:
        if not Path(path).exists():
            raise _not_written_yet(path, _root_)
        return load_yaml_value(path, None if key is None else str(key))

    OMEGACONF_ESPNET3_RESOLVER["load_yaml"] = resolve_load_yaml
    for name, function in OMEGACONF_ESPNET3_RESOLVER.items():
        OmegaConf.register_new_resolver(name, function, replace=True)
