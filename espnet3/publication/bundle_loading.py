"""From a config or a bundle to a model: first the trust decision, then construction."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from espnet3.components.inference.backend import build_model
from espnet3.components.inference.records import load_output_fn
from espnet3.errors import (
    BundleError,
    ConfigError,
    InferenceError,
    MissingConfigError,
    did_you_mean,
)
from espnet3.publication import bundle, user_code
from espnet3.publication.loaded_weights import check_loaded
from espnet3.publication.security import bundle_policy
from espnet3.publication.untrusted_files import BundleInspector, tensors_only
from espnet3.utils.config_utils import load_config_with_defaults, to_plain
from espnet3.utils.import_utils import TargetPolicy, import_object, use_target_policy
from espnet3.utils.source_signatures import find_signature

logger = logging.getLogger(__name__)

InputKey = str | Sequence[str]

STOCK_PROVIDER = "espnet3.systems.base.inference_provider.InferenceProvider"
_USED_KEYS = (
    "model", "input_key", "output_fn", "provider", "device", "device_index", "local_rank",
)  # fmt: skip


_SESSION_ARGUMENTS = (
    *("backend_class", "downloader_class", "input_key", "output_fn_path", "enable_user_code"),
    *("trust_user_code", "user_code_paths", "prefer_model_batch"),
    "fallback_to_single_on_batch_error",
)


class UnexpectedKeywordError(ConfigError, TypeError):
    """A keyword argument that neither the session nor its model takes."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What the caller allows bundled code to do."""

    enable_user_code: bool | None = None
    trust_user_code: bool = False
    user_code_paths: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class SessionParts:
    """A model and how it is called."""

    model: Any
    input_key: InputKey
    output_fn: Callable[..., Any] | None = None
    output_fn_path: str | None = None
    bundle_root: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    policy: TargetPolicy | None = None
    """What the model may make of dotted paths when it is called; ``None`` for trusted ones."""


@dataclass(frozen=True, kw_only=True)
class ArtifactRequest:
    """Artifacts of a bundle and the caller's wishes about them."""

    artifacts: Mapping[str, Any]
    trust: Trust
    backend_class: str | type | None = None
    input_key: InputKey | None = None
    output_fn_path: str | None = None
    backend_kwargs: Mapping[str, Any] = field(default_factory=dict)


def load_from_config(
    inference_config: Mapping[str, Any] | DictConfig, trust: Trust
) -> SessionParts:
    """Build what an in-memory inference config describes; such a config is the caller's own.

    Raises:
        UntrustedCodeError: If it refers to recipe code that the caller did not vouch for.
        BundleError: If recipe code is needed and ``recipe_dir`` is not set.
    """
    config = _resolve_used(_as_config(inference_config), root=None)
    recipe_dir = config.get("recipe_dir")
    root = Path(str(recipe_dir)).resolve() if recipe_dir else None
    _open_gate(config, trust, root, metadata=None, source=str(root or "the inference config"))
    path = config.get("output_fn")
    return SessionParts(
        model=_build(config),
        input_key=_read_input_key(config),
        output_fn=load_output_fn(path) if path else None,
        output_fn_path=path,
        bundle_root=root,
    )


def load_from_artifacts(request: ArtifactRequest) -> SessionParts:
    """Build what a bundle describes, under the trust policy.

    Raises:
        BundleError: If the bundle is damaged, or says nothing about its model and no
            ``backend_class`` is given.
        UntrustedCodeError: If it wants something that the caller did not allow.
    """
    trust = request.trust
    root = bundle.find_bundle_root(_paths(request.artifacts))
    metadata = bundle.read_meta(root) if root is not None else {}
    if root is not None:
        bundle.verify_manifest(root)
    config_path = _find_inference_config(request.artifacts, metadata, root)
    config: dict[str, Any] = {}
    if config_path is not None and root is not None:
        config = _load_config(config_path, root, trust)
    wanted = {**config, "output_fn": request.output_fn_path or config.get("output_fn")}
    _open_gate(
        wanted,
        trust,
        root,
        metadata=metadata.get("user_code_paths"),
        source=str(root or "the bundle"),
    )
    policy = _choose_policy(root, trust, metadata)
    with _guard(root, policy):
        bundled_fn = None if request.output_fn_path else config.get("output_fn")
        output_fn = load_output_fn(bundled_fn) if bundled_fn else None
        model = _build_described(config, request) if config else None
    if model is not None and root is not None:
        check_loaded(model, root, metadata)
    # What the caller names is the caller's own, so no policy applies to it.
    if model is None:
        policy = None
        with tensors_only(root) if root and not trust.trust_user_code else contextlib.nullcontext():
            model = _build_backend_class(request)
    if request.output_fn_path:
        output_fn = load_output_fn(request.output_fn_path, key="output_fn_path")
    return SessionParts(
        model=model,
        input_key=request.input_key or _read_input_key(config),
        output_fn=output_fn,
        output_fn_path=request.output_fn_path or bundled_fn,
        bundle_root=root.resolve() if root is not None else None,
        metadata=metadata,
        policy=policy,
    )


def _paths(artifacts: Mapping[str, Any]) -> Iterator[Path]:
    for value in artifacts.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            is_path = isinstance(item, str) and (os.sep in item or Path(item).exists())
            if is_path or isinstance(item, os.PathLike):
                yield Path(item)


def _find_inference_config(
    artifacts: Mapping[str, Any], metadata: Mapping[str, Any], root: Path | None
) -> Path | None:
    for name in (metadata.get("inference_config_key"), "inference_config"):
        if isinstance(name, str) and name in artifacts:
            return Path(artifacts[name])
    default = root / bundle.INFERENCE_CONFIG if root is not None else None
    return default if default is not None and default.is_file() else None


def _load_config(path: Path, root: Path, trust: Trust) -> dict[str, Any]:
    if trust.trust_user_code:
        return _resolve_used(load_config_with_defaults(path, resolve=False), root)
    if not bundle.is_member(path, root):
        raise BundleError(f"the inference config {path} lies outside of the bundle {root}")
    inspector = BundleInspector(root)
    inspector.check_config(path)
    config = _resolve_used(load_config_with_defaults(path, resolve=False), root)
    inspector.check_model(config.get("model"))
    return config


def _resolve_used(config: DictConfig, root: Path | None) -> dict[str, Any]:
    """Return the sections that a session needs as plain data; others need not even resolve."""
    copy = config.copy()
    if root is not None:
        copy["recipe_dir"] = str(root)
    keys = [key for key in (*_USED_KEYS, "recipe_dir") if key in copy]
    return {key: to_plain(OmegaConf.select(copy, key)) for key in keys}


def _open_gate(
    config: Mapping[str, Any], trust: Trust, root: Path | None, *, metadata: Any, source: str
) -> None:
    """Make bundled code importable, if it is wanted and trusted."""
    roots = user_code.choose_import_roots(trust.user_code_paths, metadata)
    used = {key: config.get(key) for key in ("model", "output_fn", "provider")}
    references = (
        user_code.find_references(used, roots)
        if root is None
        else user_code.find_linked_references(used, root, roots)
    )
    enabled = user_code.decide(
        references, enable=trust.enable_user_code, trust=trust.trust_user_code, source=source
    )
    if not enabled:
        return
    if root is None:
        raise BundleError(
            "user code is needed, but the folder that holds it is unknown\n"
            "  set recipe_dir in the inference config, or give artifacts that are paths of a bundle"
        )
    user_code.activate(root, roots)


def _choose_policy(
    root: Path | None, trust: Trust, metadata: Mapping[str, Any]
) -> TargetPolicy | None:
    if trust.trust_user_code or root is None:
        return None
    roots = user_code.choose_import_roots(trust.user_code_paths, metadata.get("user_code_paths"))
    return bundle_policy(root, roots)


@contextlib.contextmanager
def _guard(root: Path | None, policy: TargetPolicy | None) -> Iterator[None]:
    if policy is None or root is None:
        yield
        return
    with use_target_policy(policy), tensors_only(root):
        yield


def _build_described(config: Mapping[str, Any], request: ArtifactRequest) -> Any:
    """Build ``config.model``; ``None`` when the caller names another class or there is none."""
    model = config.get("model")
    if request.backend_class is not None or not isinstance(model, Mapping):
        return None
    _check_keywords(model.get("_target_"), request.backend_kwargs)
    return _build({**config, "model": {**model, **request.backend_kwargs}})


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


def _build(config: Mapping[str, Any]) -> Any:
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


def _build_backend_class(request: ArtifactRequest) -> Any:
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


def _as_config(config: Mapping[str, Any] | DictConfig) -> DictConfig:
    return config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))


def _read_input_key(config: Mapping[str, Any]) -> InputKey:
    key = config.get("input_key") or "speech"
    return list(key) if isinstance(key, list | tuple | ListConfig) else str(key)
