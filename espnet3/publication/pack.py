"""Write a bundle: carry out a plan in a fresh folder, describe it, then swap it in."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import OmegaConf

from espnet3.publication import bundle, pack_state, scrub, user_code
from espnet3.publication.bundle_archive import write_archive
from espnet3.publication.golden import GOLDEN_FOLDER
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.out_dir import locked
from espnet3.publication.pack_checks import (
    check_card_values,
    check_model_files,
    check_space,
    check_text,
    refused_targets,
)
from espnet3.publication.pack_inputs import PackableSystem, read_inputs
from espnet3.publication.pack_plan import USER_CODE, PackPlan, plan_pack
from espnet3.publication.packed_card import render_card
from espnet3.publication.packed_golden import add_golden_samples
from espnet3.publication.packed_weights import PackedWeight, export_weights
from espnet3.publication.path_rewrite import BUNDLE_ROOT, Relocator
from espnet3.publication.plan_draft import suggest_neighbour
from espnet3.publication.self_check import check_bundle
from espnet3.publication.yaml_links import reachable_yaml
from espnet3.utils.path_utils import atomic_directory, write_text
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)


def pack_model(
    system: PackableSystem,
    *,
    include: Sequence[PathLike] | None = None,
    extra: Sequence[PathLike] | None = None,
    git_info: Callable[[], Mapping[str, str]],
    account: Callable[[], str],
) -> Path:
    """Pack a trained model into a bundle; see :func:`espnet3.utils.publish_utils.pack_model`.

    Args:
        system: Object with ``training_config`` and ``publication_config``.
        include: Replaces the experiment folder as what is always copied.
        extra: Further paths to copy.
        git_info: Returns ``head`` and ``dirty`` of the recipe's repository.
        account: Returns the name of the user's Hub account, or an empty string.
    """
    plan = plan_pack(read_inputs(system, include=include, extra=extra))
    section = "publication_config.pack_model"
    for key, path in plan.absent:
        note = f"{section}.{key}: nothing is there, so nothing is packed: {path}"
        logger.warning("%s%s", note, suggest_neighbour(path))
    plan.selection.report_unused(f"{section}.exclude")
    if plan.scores is None:
        logger.info("no scores.json or metrics.json found; the model card has no results")
    out_dir = plan.inputs.out_dir
    check_card_values(plan)
    with locked(out_dir):
        for leftover in _leftovers(out_dir):
            logger.info("removing what an interrupted packing left: %s", leftover)
            shutil.rmtree(leftover)
        git = git_info()
        digest = pack_state.digest_inputs(plan, git)
        if pack_state.is_current(out_dir, digest):
            logger.info("up to date: %s holds what would be packed", out_dir)
            return out_dir
        check_space(plan)
        with atomic_directory(out_dir) as building:
            _write_bundle(plan, building, {"git": git, "creator": account()})
        if plan.inputs.settings.archive:
            logger.info("archived: %s", write_archive(out_dir))
        pack_state.write_state(out_dir, digest)
    _report(plan)
    return out_dir


def _leftovers(out_dir: Path) -> list[Path]:
    """Return folders that ``atomic_directory`` made for this bundle and could not remove."""
    kinds = ("partial", "retired")
    found = [p for kind in kinds for p in out_dir.parent.glob(f".{out_dir.name}.{kind}-*")]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _write_bundle(plan: PackPlan, root: Path, facts: Mapping[str, Any]) -> None:
    _copy_files(plan, root)
    settings = plan.inputs.settings
    weights = export_weights(plan.weights, root, settings.weights)
    relocator = Relocator(
        recipe_root=plan.inputs.recipe_root,
        moved={**plan.moved, **{path: packed.destination for path, packed in weights.items()}},
    )
    _relocate_copies(plan, root, relocator)
    _write_configs(plan, root, relocator, set(weights))
    meta = _describe(plan, root, weights)
    _prune_yaml(plan, root, meta)
    _copy_scores(plan, root)
    check_model_files(root)
    bundle.write_meta(root, meta)
    # Before the model is loaded, which takes long; then what was written since.
    check_text(root, plan.inputs.recipe_root, settings.secret_scan)
    meta = add_golden_samples(plan, root, meta)
    bundle.write_meta(root, meta)
    write_text(root / "README.md", render_card(plan, relocator, facts, meta, root))
    written = [root / "README.md", root / bundle.META_FILE, *(root / GOLDEN_FOLDER).rglob("*")]
    check_text(root, plan.inputs.recipe_root, settings.secret_scan, files=written)
    if settings.self_check:
        check_bundle(root)
    bundle.write_manifest(root)


def _copy_files(plan: PackPlan, root: Path) -> None:
    packed: dict[str, Path] = {}
    for destination, source in plan.copies.items():
        target = root / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        # A registered artifact that is in the bundle already should not take its space twice.
        twin = packed.setdefault(os.path.realpath(source), target)
        try:
            if twin is not target:
                os.link(twin, target)
                continue
        except OSError:
            logger.debug("no hard links here; %s is copied", source)
        shutil.copyfile(source, target)


def _relocate_copies(plan: PackPlan, root: Path, relocator: Relocator) -> None:
    """Take the paths of this machine out of copied YAML and data; code is left as it is."""
    host_paths = scrub.HostPaths(plan.inputs.recipe_root, Path.cwd())
    for destination in plan.copies:
        path = root / destination
        text = scrub.read_data_text(path)
        if text is None:
            continue
        folder = PurePosixPath(destination).parent.as_posix()
        new = _relocate_text(path, text, folder, relocator, host_paths)
        if destination in plan.plain_yaml:
            new = _without_reference(new)
        if new != text:
            write_text(path, new)


def _relocate_text(
    path: Path, text: str, folder: str, relocator: Relocator, host_paths: scrub.HostPaths
) -> str:
    content = read_mapping(path) if path.suffix in (".yaml", ".yml") else None
    if content is None:
        return host_paths.shorten(text)
    rewritten = scrub.redact(relocator.rewrite_config(content, folder))
    return text if rewritten == content else bundle.dump_yaml(rewritten)


def _without_reference(text: str) -> str:
    """Make paths relative to the bundle root, for a reader that knows no interpolation."""
    lines = text.replace(f"{BUNDLE_ROOT}/", "").replace(BUNDLE_ROOT, ".").splitlines(keepends=True)
    return "".join(line for line in lines if line.rstrip() != "recipe_dir: .")


def _write_configs(plan: PackPlan, root: Path, relocator: Relocator, exported: set[Path]) -> None:
    for name, config in plan.inputs.configs.items():
        content = OmegaConf.to_container(config, resolve=False)
        if name == "inference" and isinstance(content, dict):
            content["model"] = _resolve_weights(plan, content.get("model"), exported)
        rewritten = relocator.rewrite_config(content)
        write_text(root / "conf" / f"{name}.yaml", bundle.dump_yaml(scrub.redact(rewritten)))


def _resolve_weights(plan: PackPlan, model: Any, exported: set[Path]) -> Any:
    """Replace interpolated paths of exported weights, whose file name changes, by plain ones."""
    resolved = plan.inputs.read("inference", "model")
    if not isinstance(model, dict) or not isinstance(resolved, dict):
        return model
    return {
        name: resolved[name]
        if isinstance(resolved.get(name), str) and plan.inputs.locate(resolved[name]) in exported
        else value
        for name, value in model.items()
    }


def _describe(
    plan: PackPlan, root: Path, weights: Mapping[Path, PackedWeight]
) -> bundle.BundleMeta:
    named = {w.name: weights[w.source] for w in plan.weights if w.name is not None}
    files = {name: packed.destination for name, packed in named.items()} | dict(plan.files)
    own = {name: p for name, p in bundle.CONFIG_ENTRIES.items() if (root / p).is_file()}
    is_espnet2 = plan.strategy == "espnet2"
    code = tuple(folder for folder in USER_CODE if (root / folder).is_dir())
    config = read_mapping(root / bundle.INFERENCE_CONFIG) or {}
    used = {name: config.get(name) for name in ("model", "output_fn")}
    references = user_code.find_linked_references(used, root, code)
    targets = sorted({path for _, path in references} | set(refused_targets(used, root, code)))
    return bundle.BundleMeta(
        files=files,
        yaml_files={**({} if is_espnet2 else own), **plan.yaml_files},
        espnet3_yaml_files=own if is_espnet2 else {},
        user_code_paths=code,
        strategy=plan.strategy,
        trust={"requires_user_code": bool(targets), "targets": targets},
        weights={name: dict(packed.facts) for name, packed in named.items()},
    )


def _prune_yaml(plan: PackPlan, root: Path, meta: bundle.BundleMeta) -> None:
    """Remove the variants of configs that nothing in the bundle refers to."""
    experiment = plan.inputs.exp_dir
    place = plan.relocator.destination(experiment) if experiment is not None else None
    starts = [*meta.files.values(), *meta.yaml_files.values(), *meta.espnet3_yaml_files.values()]
    starts.append(bundle.INFERENCE_CONFIG)
    kept = reachable_yaml([root / start for start in starts], root)
    kept |= {(root / start).resolve() for start in starts}
    listed = [root / path for path in plan.listed]
    for folder in [root / "conf", *([root / place] if place else [])]:
        for path in sorted(folder.rglob("*"), reverse=True):
            if any(path.is_relative_to(own) or own.is_relative_to(path) for own in listed):
                continue
            if path.suffix in (".yaml", ".yml") and path.resolve() not in kept:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _copy_scores(plan: PackPlan, root: Path) -> None:
    if plan.scores is None:
        return
    for name in {plan.scores.name, "scores.json"}:
        shutil.copyfile(plan.scores, root / name)


def _report(plan: PackPlan) -> None:
    out_dir = plan.inputs.out_dir
    sizes = [path.stat().st_size for path in out_dir.rglob("*") if path.is_file()]
    trust = (bundle.read_meta(out_dir).get("trust") or {}).get("targets")
    logger.info("packed %s: files=%d size_mib=%.1f", out_dir, len(sizes), sum(sizes) / 2**20)
    if trust:
        logger.info("users must pass trust_user_code=True, because of: %s", ", ".join(trust))
    else:
        logger.info("the bundle loads without trust_user_code")
