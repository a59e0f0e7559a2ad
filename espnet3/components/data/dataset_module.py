"""From a dataset reference to the Python module that defines it.

A reference (``data_src``) is a tag (``mini_an4/asr``), a dotted module path, or absent, which means
``<recipe_dir>/dataset``. Modules of the last kind are loaded from their path under a synthetic name
that is unique to the folder, so that the ``dataset`` packages of two recipes live in one process.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.components.data.settings import DatasetEntrySettings
from espnet3.errors import ConfigError, SettingError, UnknownKeyError, did_you_mean
from espnet3.utils.import_utils import active_target_policy
from espnet3.utils.types import PathLike

LOCAL_PREFIX = "espnet3_local_dataset_"
_FORMS = (
    "a reference is a tag (`recipe/task`), a dotted module path (`my_pkg.data`), or absent for"
    " `<recipe_dir>/dataset`"
)
ENTRY_KEYS = tuple(field.name for field in dataclasses.fields(DatasetEntrySettings))
"""Keys of one dataset entry."""
_local_paths: dict[str, str] = {}
_load_lock = threading.RLock()


class DatasetModuleError(ConfigError, ModuleNotFoundError):
    """There is no module for a dataset reference."""

    @classmethod
    def of(cls, data_src: str, module: str, *, key: str = "data_src") -> DatasetModuleError:
        """Return the error for a reference whose module does not exist."""
        kind = "tag" if _is_tag(data_src) else "module path"
        return cls(
            f"the {kind} names module {module}, which does not exist",
            key=key,
            value=data_src,
            hint=_FORMS,
        )


def missing_local_module(init_path: Path, *, key: str = "data_src") -> DatasetModuleError:
    """Return the error for a recipe without a dataset module of its own."""
    return DatasetModuleError(
        f"{init_path} does not exist; add it (it exports `Dataset` and, if there is"
        " something to prepare, `DatasetBuilder`), or set data_src",
        key=key,
    )


def resolve_dataset_module_name(ref: str) -> str:
    """Return the module name that a tag stands for.

    Raises:
        ConfigError: If a part of the tag is empty or cannot be part of a module name.

    Example:
        >>> resolve_dataset_module_name("my-recipe/asr")
        'egs3.my_recipe.asr.dataset'
    """
    parts = [part.replace("-", "_") for part in ref.split("/")]
    if not all(part.isidentifier() for part in parts):
        raise ConfigError("is not a dataset tag", key="data_src", value=ref, hint=_FORMS)
    return ".".join(["egs3", *parts, "dataset"])


def load_dataset_module(
    data_src: str | None = None, recipe_dir: PathLike | None = None
) -> ModuleType:
    """Import the module of a dataset reference, without building anything.

    Args:
        data_src: Tag or dotted module path; ``None`` for the local module of ``recipe_dir``.
        recipe_dir: Recipe folder; used only when ``data_src`` is ``None``.

    Raises:
        SettingError: If both arguments are ``None``.
        ModuleNotFoundError: If the module does not exist.
        ConfigError: If ``data_src`` has none of the known forms.
    """
    if data_src is None:
        if recipe_dir is None:
            raise SettingError(
                "recipe_dir must be set when data_src is not", key="recipe_dir", hint=_FORMS
            )
        return _load_local_module(Path(recipe_dir))
    is_tag = _is_tag(data_src)
    name = resolve_dataset_module_name(data_src) if is_tag else data_src
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError("is not a module path", key="data_src", value=data_src, hint=_FORMS)
    _check_policy(name)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # an import inside an existing dataset module fails: that is the real problem
        raise DatasetModuleError.of(data_src, name) from error


def parse_dataset_reference_config(
    config: Mapping[str, Any] | DictConfig,
) -> tuple[str | None, dict[str, Any]]:
    """Split a dataset entry into its reference and the arguments of its ``Dataset``.

    Returns:
        ``(data_src, data_src_args)``; a blank ``data_src`` is ``None``, the arguments are a copy.

    Raises:
        TypeError: If ``data_src`` is neither a string nor null.
        ValueError: If ``data_src_args`` is not a mapping.
    """
    if isinstance(config, DictConfig):
        entry: Any = OmegaConf.to_container(config, resolve=False)
    else:
        entry = config
    data_src = entry.get("data_src")
    if data_src is not None and not isinstance(data_src, str):
        raise TypeError(f"data_src must be a string or None, got {type(data_src).__name__}")
    arguments = entry.get("data_src_args")
    if isinstance(arguments, DictConfig):
        arguments = OmegaConf.to_container(arguments, resolve=False)
    try:
        copied = {} if arguments is None else dict(arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError("must be a mapping", key="data_src_args", value=arguments) from error
    return (data_src or "").strip() or None, copied


def check_entry_keys(entry: Mapping[Any, Any] | DictConfig, *, key: str) -> None:
    """Check that a dataset entry has no key that nothing reads.

    Raises:
        UnknownKeyError: Otherwise.
    """
    for name in map(str, entry):
        if name not in ENTRY_KEYS:
            raise UnknownKeyError(
                "is not a key of a dataset entry",
                key=f"{key}.{name}",
                hint=did_you_mean(name, ENTRY_KEYS) or "valid: " + ", ".join(ENTRY_KEYS),
            )


def instantiate_dataset_reference(
    config: Mapping[str, Any] | DictConfig, recipe_dir: PathLike | None = None
) -> Any:
    """Build ``module.Dataset(**data_src_args)`` for a dataset entry.

    No other key of the entry reaches the constructor.

    Raises:
        AttributeError: If the module has no ``Dataset``.
        Exception: What the constructor raises.
    """
    data_src, arguments = parse_dataset_reference_config(config)
    module = load_dataset_module(data_src=data_src, recipe_dir=recipe_dir)
    if not hasattr(module, "Dataset"):
        raise AttributeError(
            f"dataset module {module.__name__} ({module.__file__}) has no class `Dataset`;"
            " export one from its __init__.py"
        )
    policy = active_target_policy()
    if policy is not None:
        policy.check_object(module.Dataset, f"{module.__name__}.Dataset", key="data_src")
    return module.Dataset(**arguments)


class CarriesLocalModules:
    """Mixin: instances unpickle in processes that have not loaded the local dataset modules.

    The pickle names the folders of the local modules before the state, so that a spawned worker
    imports them first and then finds their classes under the same synthetic names.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (_LocalModules(tuple(_local_paths.values())), type(self), self.__dict__)


class _LocalModules:
    """Loads the modules while it is unpickled, which happens before what follows it."""

    def __init__(self, init_paths: tuple[str, ...]) -> None:
        self.init_paths = init_paths
        for path in init_paths:
            _load_local_module(Path(path).parent.parent)

    def __reduce__(self) -> tuple[Any, ...]:
        return _LocalModules, (self.init_paths,)


def _rebuild(_: _LocalModules, cls: Any, state: dict[str, Any]) -> Any:
    instance = cls.__new__(cls)
    instance.__dict__.update(state)
    return instance


def _is_tag(ref: str) -> bool:
    return "/" in ref


def _load_local_module(recipe_dir: Path) -> ModuleType:
    from hashlib import sha256  # loads OpenSSL; checks and plans import this module for its names

    init_path = (recipe_dir / "dataset" / "__init__.py").resolve()
    name = LOCAL_PREFIX + sha256(str(init_path).encode()).hexdigest()[:16]
    _check_policy(name)
    with _load_lock:
        if name in sys.modules:
            return sys.modules[name]
        if not init_path.is_file():
            raise missing_local_module(init_path)
        spec = importlib.util.spec_from_file_location(
            name, init_path, submodule_search_locations=[str(init_path.parent)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot make an import specification for {init_path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            _forget(name)
            raise
        _local_paths[name] = str(init_path)
        return module


def _forget(name: str) -> None:
    """Remove a module whose import failed, with its submodules, so that a retry starts afresh."""
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[loaded]


def _check_policy(name: str) -> None:
    policy = active_target_policy()
    if policy is not None:
        policy.check_path(name, key="data_src")
