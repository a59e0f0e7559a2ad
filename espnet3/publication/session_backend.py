"""Build the back end of a session: what a config describes, or a class that the caller chose."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet3.components.inference.backend import build_model, check_device
from espnet3.errors import (
    BundleError,
    ConfigError,
    InferenceError,
    MissingConfigError,
    did_you_mean,
)
from espnet3.publication import bundle
from espnet3.utils.import_utils import import_object
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.target_arguments import BUILD_KEYS

InputKey = str | Sequence[str]

_KNOWN_DEVICES = ("espnet3.", "espnet2.")
"""Models whose devices are those of torch; others may know names of their own."""
STOCK_PROVIDER = "espnet3.systems.base.inference_provider.InferenceProvider"


_SESSION_ARGUMENTS = (
    *("backend_class", "downloader_class", "input_key", "output_fn_path", "enable_user_code"),
    *("trust_user_code", "user_code_paths", "prefer_model_batch"),
    *("fallback_to_single_on_batch_error", "verify"),
)


class UnexpectedKeywordError(ConfigError, TypeError):
    """A keyword argument that neither the session nor its model takes."""


class ArgumentTypeError(ConfigError, TypeError):
    """An argument of a type that a session does not take."""


def check_flags(*, trust_user_code: Any, enable_user_code: Any = None) -> None:
    """Raise unless flags about code are real ones: a text such as ``"false"`` counts as true.

    Raises:
        ArgumentTypeError: If one is not; a ``TypeError``.
    """
    if not isinstance(trust_user_code, bool):
        raise ArgumentTypeError(
            "must be True or False", key="trust_user_code", value=trust_user_code
        )
    if not isinstance(enable_user_code, bool | None):
        raise ArgumentTypeError(
            "must be True, False or None", key="enable_user_code", value=enable_user_code
        )


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What the caller allows bundled code to do."""

    enable_user_code: bool | None = None
    trust_user_code: bool = False
    user_code_paths: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_flags(trust_user_code=self.trust_user_code, enable_user_code=self.enable_user_code)


@dataclass(frozen=True, kw_only=True)
class ArtifactRequest:
    """Artifacts of a bundle and the caller's wishes about them."""

    artifacts: Mapping[str, Any]
    trust: Trust
    backend_class: str | type | None = None
    input_key: InputKey | None = None
    output_fn_path: str | None = None
    backend_kwargs: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def naming_bundle(
    root: Path | None, file: Path | None, config: Mapping[str, Any], request: ArtifactRequest
) -> Iterator[None]:
    """Say in errors about values of a bundle which one it is, and its file where that is known.

    Args:
        root: Folder of the bundle.
        file: Its inference config.
        config: What that says.
        request: Arguments of the caller, of which the bundle knows nothing.
    """
    try:
        yield
    except ConfigError as error:
        is_callers = error.key in (*_SESSION_ARGUMENTS, *request.backend_kwargs)
        if not is_callers and not isinstance(error, UnexpectedKeywordError) and not error.file:
            key = _find_value(error, config)
            place = root if key is None else file
            # The same error goes on, with its notes.
            error.args = error.at(place, key=key).args
            error.file = place
        raise


def _find_value(error: ConfigError, config: Mapping[str, Any]) -> str | None:
    """Return the key of an inference config that an error is about, if it is about one."""
    for section, prefix in ((config.get("model"), "model."), (config, "")):
        name = (error.key or "").removeprefix(prefix)
        if (
            isinstance(section, Mapping)
            and name in section
            and error.value in (None, section[name])
        ):
            return f"{prefix}{name}"
    return None


def build_described(
    config: Mapping[str, Any], request: ArtifactRequest, file: Path | None = None
) -> Any:
    """Build ``config.model``; ``None`` when the caller names another class or there is none.

    Args:
        config: Inference config.
        request: What the caller wants of it; its ``device`` wins over all that the config says.
        file: Where ``config`` was read, for messages.
    """
    model = config.get("model")
    if request.backend_class is not None or not isinstance(model, Mapping):
        return None
    _check_keywords(model.get("_target_"), request.backend_kwargs)
    wanted = {**config, "model": {**model, **request.backend_kwargs}}
    if "device" in request.backend_kwargs:
        device = request.backend_kwargs["device"]
        if device is not None and str(model.get("_target_")).startswith(_KNOWN_DEVICES):
            check_device(str(device))
        wanted["device"] = device
    try:
        return build_configured(wanted)
    except TypeError:  # asked only now: what the trust policy refuses comes first
        _check_arguments(model, file)
        raise


def _check_arguments(model: Mapping[str, Any], file: Path | None) -> None:
    """Name an argument that a class of ours does not take, as in a bundle of another version."""
    target = str(model.get("_target_"))
    signature = find_signature(target) if target.startswith("espnet3.") else None
    if signature is None or signature.takes_any:
        return
    for name in model:
        if name not in signature.parameters and name not in BUILD_KEYS:
            hint = did_you_mean(name, signature.parameters)
            takes = "it takes: " + ", ".join(signature.parameters)
            raise BundleError(
                f"{file or 'the bundle'}: gives {target} an argument that it does not take:"
                f" model.{name!r}\n"
                f"  {hint or takes}"
            )


def _check_keywords(target: Any, keywords: Mapping[str, Any]) -> None:
    """Name a misspelt argument of a session, which the model would not know either."""
    signature = find_signature(target) if isinstance(target, str) and keywords else None
    if signature is None or signature.takes_any:
        return
    for name in keywords:
        if name not in signature.parameters:
            known = [*signature.parameters, *_SESSION_ARGUMENTS]
            takes = "the model takes: " + ", ".join(signature.parameters)
            raise UnexpectedKeywordError(
                f"got an unexpected keyword argument {name!r}, which neither InferenceSession nor"
                f" {target} takes",
                hint=did_you_mean(name, known) or takes,
            )


def build_configured(config: Mapping[str, Any]) -> Any:
    """Build ``config.model``, with the provider that the config names."""
    section = config.get("provider")
    provider = section.get("_target_") if isinstance(section, Mapping) else None
    if provider and provider != STOCK_PROVIDER:
        return import_object(provider, key="provider._target_").build_model(config)
    return build_model(config)


def build_pretrained(
    backend_class: str | type, model_tag: str, arguments: Mapping[str, Any]
) -> Any:
    """Let a back end class fetch and build a model by itself.

    Raises:
        InferenceError: If it has no ``from_pretrained``.
    """
    cls = _import_class(backend_class)
    if not hasattr(cls, "from_pretrained"):
        raise InferenceError(
            f"backend_class {cls!r} has no from_pretrained\n"
            "  leave out enable_user_code=False, so that the model is fetched for it"
        )
    return cls.from_pretrained(model_tag=model_tag, **arguments)


def _import_class(backend: str | type) -> Any:
    return import_object(backend, key="backend_class") if isinstance(backend, str) else backend


def build_backend_class(request: ArtifactRequest, file: Path | None = None) -> Any:
    """Build the class that the caller chose, from the artifacts of a bundle.

    Args:
        request: What the caller wants.
        file: The inference config of the bundle, if it has one; it describes no model.

    Raises:
        MissingConfigError: If there is none.
    """
    if request.backend_class is None and file is not None:
        raise MissingConfigError(
            "the inference config is empty or damaged: it has no section `model`",
            file=file,
            hint="fetch or pack the bundle again, or give backend_class, the class that loads it",
        )
    if request.backend_class is None:
        raise MissingConfigError(
            "the bundle has no conf/inference.yaml that describes an inference config",
            hint="give backend_class, the class that loads these artifacts",
        )
    cls = _import_class(request.backend_class)
    factory = getattr(cls, "from_pretrained", None)
    own = [name for name in bundle.CONFIG_ENTRIES if not _names_parameter(factory or cls, name)]
    arguments = {k: v for k, v in request.artifacts.items() if k not in own}
    arguments |= request.backend_kwargs
    return factory(model_tag=None, **arguments) if factory else cls(**arguments)


def _names_parameter(function: Any, name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
