"""From a config or a bundle to a model: first the trust decision, then construction."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from espnet3.components.inference.loaded_weights import find_unloaded
from espnet3.components.inference.records import load_output_fn
from espnet3.errors import BundleError
from espnet3.publication import bundle, user_code
from espnet3.publication.code_scope import CodeScope, activate
from espnet3.publication.espnet2_backends import no_nltk_downloads
from espnet3.publication.file_kinds import check_bundle_files
from espnet3.publication.inference_description import (
    as_config,
    find_inference_config,
    load_described,
    read_input_key,
    resolve_used,
)
from espnet3.publication.security import BundlePolicy, bundle_policy, qualified_name
from espnet3.publication.session_backend import (
    ArtifactRequest,
    InputKey,
    Trust,
    build_backend_class,
    build_configured,
    build_described,
    naming_bundle,
)
from espnet3.publication.size_limit import limited_size
from espnet3.publication.untrusted_files import BundleInspector
from espnet3.publication.weights_only import tensors_only
from espnet3.utils.import_utils import TargetPolicy, use_target_policy
from espnet3.utils.printable import printable, printable_errors

logger = logging.getLogger(__name__)


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
    scope: CodeScope | None = None
    """The modules of the bundle, if its code was enabled."""


def load_from_config(
    inference_config: Mapping[str, Any] | DictConfig, trust: Trust
) -> SessionParts:
    """Build what an in-memory inference config describes; such a config is the caller's own.

    Raises:
        UntrustedCodeError: If it refers to recipe code that the caller did not vouch for.
        BundleError: If recipe code is needed and ``recipe_dir`` is not set.
    """
    config = resolve_used(as_config(inference_config), root=None)
    recipe_dir = config.get("recipe_dir")
    root = Path(str(recipe_dir)).resolve() if recipe_dir else None
    source = str(root or "the inference config")
    scope = _open_gate(config, trust, root, metadata=None, source=source)
    path = config.get("output_fn")
    with _inside(scope):
        return SessionParts(
            model=build_configured(config),
            input_key=read_input_key(config),
            output_fn=load_output_fn(path) if path else None,
            output_fn_path=path,
            bundle_root=root,
            scope=scope,
        )


@printable_errors()
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
        if not trust.trust_user_code:
            check_bundle_files(root)
        bundle.verify_manifest(root, may_be_relocated=True)
    if metadata and metadata.get("schema_version") is None:
        logger.warning(
            "%s has no schema_version; reading it as a bundle of an older format", printable(root)
        )
    config_path = find_inference_config(request.artifacts, metadata, root)
    config: dict[str, Any] = {}
    if config_path is not None and root is not None:
        with naming_bundle(root, config_path, {}, request):
            config = load_described(config_path, root, trust)
    wanted = {**config, "output_fn": request.output_fn_path or config.get("output_fn")}
    scope = _open_gate(
        wanted,
        trust,
        root,
        metadata=metadata.get("user_code_paths"),
        source=str(root or "the bundle"),
    )
    with _inside(scope), naming_bundle(root, config_path, config, request):
        return _build_parts(request, root, metadata, config, scope, config_path)


def _check_loaded(model: Any, root: Path, metadata: Mapping[str, Any]) -> None:
    """Raise if the model does not run with the weight files of its bundle."""
    files, weights = metadata.get("files") or {}, metadata.get("weights") or {}
    for name in sorted(set(files) & set(weights)):
        path = bundle.member_path(root, files[name], f"{bundle.META_FILE}: files.{name}")
        reason = find_unloaded(model, path)
        if reason is not None:
            raise BundleError(reason)


def _build_parts(
    request: ArtifactRequest,
    root: Path | None,
    metadata: Mapping[str, Any],
    config: Mapping[str, Any],
    scope: CodeScope | None,
    config_path: Path | None,
) -> SessionParts:
    """Build model and output function, the bundle's own ones under the trust policy."""
    policy = _choose_policy(root, request.trust, metadata, config.get("model"))
    bundled_fn = None if request.output_fn_path else config.get("output_fn")
    with _guard(root, policy):
        output_fn = load_output_fn(bundled_fn) if bundled_fn else None
    with _guard(root, policy):
        model = build_described(config, request, config_path) if config else None
    if model is not None and root is not None:
        _check_loaded(model, root, metadata)
    # What the caller names is the caller's own, so no policy applies to it.
    if model is None:
        is_free = request.trust.trust_user_code or root is None
        if not is_free:
            _check_artifacts(request, cast(Path, root))
        with contextlib.nullcontext() if is_free else tensors_only(cast(Path, root)):
            model = build_backend_class(request, config_path)
        policy = None
    if request.output_fn_path:
        output_fn = load_output_fn(request.output_fn_path, key="output_fn_path")
    return SessionParts(
        model=model,
        input_key=request.input_key or read_input_key(config),
        output_fn=output_fn,
        output_fn_path=request.output_fn_path or bundled_fn,
        bundle_root=root.resolve() if root is not None else None,
        metadata=metadata,
        policy=policy,
        scope=scope,
    )


def _check_artifacts(request: ArtifactRequest, root: Path) -> None:
    """Refuse a training config that makes ESPnet2's class do more than the caller asked for.

    Without a ``meta.yaml`` the artifacts are files of the caller, not of a bundle.
    """
    named = request.backend_class
    target = named if isinstance(named, str) or named is None else qualified_name(named)
    if target is None or not target.startswith("espnet2.") or not bundle.is_bundle(root):
        return
    given = {k: v for k, v in request.artifacts.items() if k not in bundle.CONFIG_ENTRIES}
    inspector, file = BundleInspector(root), root / bundle.META_FILE
    for value in given.values():
        if str(value).endswith((".yaml", ".yml")):
            inspector.check_config(Path(value))
    texts = {name: str(value) for name, value in given.items()}
    inspector.check_backend({"_target_": target, **texts}, file)


def _inside(scope: CodeScope | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if scope is None else scope.active()


def _paths(artifacts: Mapping[str, Any]) -> Iterator[Path]:
    for value in artifacts.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            is_path = isinstance(item, str) and (os.sep in item or Path(item).exists())
            if is_path or isinstance(item, os.PathLike):
                yield Path(item)


def _open_gate(
    config: Mapping[str, Any], trust: Trust, root: Path | None, *, metadata: Any, source: str
) -> CodeScope | None:
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
        return None
    if root is None:
        raise BundleError(
            "user code is needed, but the folder that holds it is unknown\n"
            "  set recipe_dir in the inference config, or give artifacts that are paths of a bundle"
        )
    return activate(root, roots)


def _choose_policy(
    root: Path | None, trust: Trust, metadata: Mapping[str, Any], model: Any
) -> BundlePolicy | None:
    if trust.trust_user_code or root is None:
        return None
    roots = user_code.choose_import_roots(trust.user_code_paths, metadata.get("user_code_paths"))
    return bundle_policy(root, roots, model)


@contextlib.contextmanager
def _guard(root: Path | None, policy: BundlePolicy | None) -> Iterator[None]:
    if policy is None or root is None:
        yield
        return
    before = set(policy.allowed)
    with (
        use_target_policy(policy),
        tensors_only(root),  # one thread at a time
        no_nltk_downloads() if policy.espnet2_class else contextlib.nullcontext(),
        limited_size(root, lambda: policy.has_foreign(before)),
    ):
        yield
