"""Last looks at a bundle before it replaces the old one or leaves this machine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.errors import BundleError, ConfigError, UntrustedCodeError
from espnet3.publication import scrub
from espnet3.publication.bundle import INFERENCE_CONFIG
from espnet3.publication.espnet2_backends import find_backend
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.path_rewrite import BUNDLE_ROOT, EXTERNAL
from espnet3.publication.security import BundlePolicy
from espnet3.publication.yaml_links import expand_references, iter_strings, iter_targets

if TYPE_CHECKING:
    from espnet3.publication.pack_plan import PackPlan

logger = logging.getLogger(__name__)

_SHOWN = 20


def check_space(plan: PackPlan) -> None:
    """Refuse to fill a disk that others use, too.

    Raises:
        BundleError: If the sources take more place than is free.
    """
    sources = [*plan.copies.values(), *(weight.source for weight in plan.weights)]
    needed = sum(path.stat().st_size for path in sources)
    needed *= 2 if plan.inputs.settings.archive else 1
    out_dir = plan.inputs.out_dir
    place = next(folder for folder in out_dir.parents if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise BundleError(
            f"{out_dir} needs {needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB are free there\n"
            "  make room, or choose another publication_config.pack_model.out_dir"
        )


def check_model_files(root: Path) -> None:
    """Raise if the packed inference config names a file that is not in the bundle."""
    config = read_mapping(root / INFERENCE_CONFIG) or {}
    for key, text in iter_strings(config.get("model"), "model"):
        path = expand_references(text, {**config, "recipe_dir": str(root)})
        is_lost = text.startswith(EXTERNAL)
        if is_lost or (path.startswith(f"{root}/") and not Path(path).exists()):
            raise BundleError(
                f"{INFERENCE_CONFIG}: {key} = {text.replace(BUNDLE_ROOT + '/', '')!r} "
                "names a file that is not in the bundle\n"
                "  check that it exists (has `train` run?), and add it to "
                "publication_config.pack_model.files or extra"
            )


def check_card_values(plan: PackPlan) -> None:
    """Refuse paths of this machine in what the user gives for the model card.

    Raises:
        ConfigError: If there is one, and ``secret_scan`` is ``error``.
    """
    settings = plan.inputs.settings
    if settings.secret_scan != "error":  # noqa: S105 - no password
        return
    host_paths = scrub.HostPaths(plan.inputs.recipe_root, Path.cwd())
    key = "publication_config.pack_model.readme_context"
    for name, text in iter_strings(settings.readme_context, key):
        if host_paths.search(text):
            raise ConfigError("holds a path of this machine, and everybody could read it",
                              key=name, value=text, hint="write it without")  # fmt: skip


def find_leaks(
    root: Path, host_paths: scrub.HostPaths | None, files: Iterable[Path] | None = None
) -> list[str]:
    """Return ``file:line: kind`` of every secret, and path of this machine, in texts."""
    return [
        f"{path.relative_to(root)}:{finding.line}: {finding.kind}"
        for path in sorted(root.rglob("*") if files is None else files)
        if path.is_file()
        for finding in scrub.scan_file(path, host_paths)
    ]


def check_text(
    root: Path,
    recipe_root: Path | None,
    mode: str,
    verb: str = "pack",
    key: str = "publication_config.pack_model.secret_scan",
    files: Iterable[Path] | None = None,
) -> None:
    """Refuse to publish secrets and paths of this machine.

    Args:
        root: Folder that is published.
        recipe_root: Recipe directory, whose path must not be named.
        mode: ``error``, ``warn`` or ``off``.
        verb: What is about to be done, for the message.
        key: Setting that says the mode.
        files: What to look at; by default all files of the folder.

    Raises:
        BundleError: If something was found and ``mode`` is ``error``.
    """
    if mode == "off":
        return
    found = find_leaks(root, scrub.HostPaths(recipe_root, Path.cwd()), files)
    if not found:
        return
    listing = "\n  ".join(found[:_SHOWN])
    if mode == "warn":
        logger.warning("%s holds what should not be published:\n  %s", root, listing)
        return
    raise BundleError(
        f"will not {verb} what should not be published:\n  {listing}\n"
        f"  remove it, or set {key}: warn"
    )


def refused_targets(used: Any, root: Path, code: tuple[str, ...]) -> Iterator[str]:
    """Yield what a bundle may not name unless it is trusted, without importing it."""
    model = used["model"]
    if find_backend(model) is not None:
        # Here, because the plan of a run reads this module and does without torch.
        from espnet3.publication.inference_description import load_described
        from espnet3.publication.session_backend import Trust

        try:
            load_described(root / INFERENCE_CONFIG, root, Trust())
        except UntrustedCodeError as error:
            logger.warning("%s", str(error).partition("\n")[0])
            yield model["_target_"]
            return
    policy = BundlePolicy(root, code, model)
    for key, target in iter_targets(used):
        try:
            policy.check_path(target, key=key)
        except UntrustedCodeError:
            yield target
