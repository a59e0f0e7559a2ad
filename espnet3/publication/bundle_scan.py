"""Look through a bundle for what should not be published, or not be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from espnet3.errors import (
    BundleError,
    ConfigError,
    Espnet3Error,
    MissingDependencyError,
    UntrustedCodeError,
    WeightsError,
)
from espnet3.publication import bundle, golden, scrub, user_code
from espnet3.publication.array_files import holds_objects
from espnet3.publication.inference_description import load_described
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.model_layout import lay_out
from espnet3.publication.path_rewrite import absolute
from espnet3.publication.security import BundlePolicy, bundle_policy
from espnet3.publication.session_backend import STOCK_PROVIDER, Trust
from espnet3.publication.upload_files import unlisted_files
from espnet3.publication.yaml_links import iter_named, linked_files
from espnet3.utils.import_utils import import_object, use_target_policy
from espnet3.utils.printable import printable, printable_errors
from espnet3.utils.weights_utils import read_checkpoint, read_state_dict

Kind = Literal[
    "secret", "path", "pickle", "link", "device", "manifest", "config", "size", "trust"
]  # fmt: skip

_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
_CHECKPOINTS = frozenset({".ckpt", ".pth", ".pt", ".bin", ".safetensors"})
_ARRAYS = frozenset({".npy", ".npz"})
_BUILDS_COLLATE = "espnet3.systems.base.trained_model.TrainedModel"


@dataclass(frozen=True, kw_only=True)
class ScanFinding:
    """One thing that somebody who publishes or loads a bundle should know."""

    kind: Kind
    place: str
    note: str

    @property
    def is_problem(self) -> bool:
        """Whether it should be mended; a bundle that says openly what code it has is fine."""
        return self.kind != "trust"

    def __str__(self) -> str:
        return f"{self.kind:9} {printable(self.place)}: {printable(self.note)}"


@printable_errors()
def scan_bundle(root: Path) -> list[ScanFinding]:
    """Look at every file of a bundle; nothing of it is imported or unpickled.

    Args:
        root: Folder of the bundle.

    Raises:
        BundleError: If there is no bundle.
    """
    if not root.is_dir() or not (
        bundle.is_bundle(root) or (root / bundle.INFERENCE_CONFIG).exists()
    ):
        raise BundleError(
            f"{root} is not a bundle: it has neither {bundle.META_FILE} nor "
            f"{bundle.INFERENCE_CONFIG}"
        )
    root = absolute(root)
    found: list[ScanFinding] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() and not bundle.is_member(path, root):
            found.append(ScanFinding(kind="link", place=name, note="leads out of the bundle"))
        elif path.is_file():
            found += _scan_text(path, name)
            found += _scan_objects(path, name)
        elif not path.is_dir():
            note = "is neither file nor folder; a bundle with it is not loaded"
            found.append(ScanFinding(kind="device", place=name, note=note))
    return [*found, *_scan_manifest(root), *_scan_golden(root), *_scan_config(root)]


def _scan_text(path: Path, name: str) -> Iterator[ScanFinding]:
    for finding in scrub.scan_file(path, scrub.HostPaths(None, Path.cwd()), homes=True):
        is_path = finding.kind in (scrub.HOST_PATH, scrub.HOME_FOLDER)
        kind: Kind = "path" if is_path else "secret"
        yield ScanFinding(kind=kind, place=f"{name}:{finding.line}", note=finding.kind)


def _scan_objects(path: Path, name: str) -> Iterator[ScanFinding]:
    if path.suffix in _PICKLES:
        yield ScanFinding(kind="pickle", place=name, note="can only be read by running code")
    elif path.suffix in _ARRAYS and holds_objects(path):
        yield ScanFinding(kind="pickle", place=name, note="holds Python objects, not only arrays")
    elif path.suffix in _CHECKPOINTS:
        try:
            (read_state_dict if path.suffix == ".safetensors" else read_checkpoint)(path)
        except UntrustedCodeError as error:
            yield ScanFinding(kind="pickle", place=name, note=_first_line(error))
        except WeightsError:
            yield ScanFinding(
                kind="pickle", place=name, note="is named like weights and holds none"
            )


def _scan_manifest(root: Path) -> Iterator[ScanFinding]:
    try:
        entries = bundle.read_manifest(root)
        bundle.verify_manifest(root)
    except BundleError as error:
        yield ScanFinding(kind="manifest", place=bundle.MANIFEST_FILE, note=_first_line(error))
        return
    if not entries:
        note = "absent, so damage is not noticed"
        yield ScanFinding(kind="manifest", place=bundle.MANIFEST_FILE, note=note)
        return
    for name in unlisted_files(root):
        yield ScanFinding(kind="manifest", place=name, note="was put there after packing")


def _scan_golden(root: Path) -> Iterator[ScanFinding]:
    if not (root / golden.GOLDEN_FILE).is_file():
        return
    try:
        golden.read_samples(root)
    except (BundleError, OSError) as error:
        yield ScanFinding(kind="config", place=golden.GOLDEN_FILE, note=_first_line(error))


def _scan_config(root: Path) -> Iterator[ScanFinding]:
    """Make the checks of the loader, up to the point where something would be built."""
    path = root / bundle.INFERENCE_CONFIG
    try:
        meta = bundle.read_meta(root)
        bundle.read_artifacts(root, meta)
        roots = user_code.choose_import_roots(None, meta.get("user_code_paths"))
        config = load_described(path, root, Trust()) if path.exists() else {}
    except (BundleError, ConfigError, UntrustedCodeError, OSError) as error:
        yield ScanFinding(kind="config", place=bundle.INFERENCE_CONFIG, note=_first_line(error))
        return
    used = {key: config.get(key) for key in ("model", "output_fn", "provider")}
    references = dict(user_code.find_linked_references(used, root, roots))
    for key, target in references.items():
        yield ScanFinding(kind="trust", place=key, note=f"runs code of the bundle: {target}")
    policy = bundle_policy(root, roots, used["model"])
    judged: list[ScanFinding] = []
    with use_target_policy(policy):
        for key, target in _built_targets(used, root):
            if key not in references and target != STOCK_PROVIDER:
                judged += _judge_target(key, target)
    yield from judged
    if not references and not judged and not policy.has_foreign():
        yield from _scan_layout(root, config, policy)


def _scan_layout(
    root: Path, config: Mapping[str, Any], policy: BundlePolicy
) -> Iterator[ScanFinding]:
    try:
        lay_out(root, config, policy)
    except Espnet3Error as error:
        kind: Kind = "size" if isinstance(error, BundleError) else "config"
        yield ScanFinding(kind=kind, place=bundle.INFERENCE_CONFIG, note=_one_line(error))


def _built_targets(used: Mapping[str, Any], root: Path) -> Iterator[tuple[str, Any]]:
    """Yield what loading imports: of the config, and of the training configs that it names."""
    yield from iter_named(used)
    model = used["model"] if isinstance(used["model"], Mapping) else {}
    has_collate = model.get("_target_") == _BUILDS_COLLATE
    for path in sorted(linked_files({"model": model}, root, root)):
        document = read_mapping(path) or {}
        loader = document.get("dataloader") if has_collate else None
        yield from iter_named({"model": document.get("model"), "dataloader": _collate_of(loader)})


def _collate_of(loader: Any) -> Any:
    return {"collate_fn": loader.get("collate_fn")} if isinstance(loader, Mapping) else None


def _judge_target(key: str, target: Any) -> Iterator[ScanFinding]:
    if not isinstance(target, str) or "${" in target:
        yield ScanFinding(kind="config", place=key, note=f"{target!r} is not a dotted import path")
        return
    try:
        import_object(target, key=key)
    except UntrustedCodeError:
        note = f"{target} is not on the list of what a bundle may name"
        yield ScanFinding(kind="trust", place=key, note=note)
    except MissingDependencyError:
        return  # listed by name, and what is installed here says nothing about the bundle
    except (ConfigError, ImportError) as error:
        yield ScanFinding(kind="config", place=key, note=_first_line(error))


def _one_line(error: BaseException) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines())


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
