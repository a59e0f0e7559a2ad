"""What each stage needs: one table, and what a recipe's configurations add to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from espnet3.cli.code_imports import find_imports
from espnet3.utils.espnet2_needs import TRAIN_ONLY, iter_needs

Kind = Literal["package", "tool", "gpu", "file", "folder"]

COMMON_PACKAGES = ("omegaconf", "yaml")
_DATA = ("numpy", "soundfile", "soxr", "tqdm")
_TEXT = ("sentencepiece", "rapidfuzz")
STAGE_PACKAGES: dict[str, tuple[str, ...]] = {
    "create_dataset": _DATA,
    "train_tokenizer": ("numpy", "sentencepiece"),
    "collect_stats": ("torch", "lightning", "hydra", *_DATA, *_TEXT),
    "train": ("torch", "lightning", "hydra", *_DATA, *_TEXT),
    "infer": ("torch", "hydra", *_DATA, *_TEXT),
    "measure": ("hydra", "rapidfuzz"),
    "pack_model": ("torch", "numpy", "safetensors", "huggingface_hub", "tqdm"),
    "upload_model": ("huggingface_hub",),
    "pack_demo": ("huggingface_hub",),
    "upload_demo": ("huggingface_hub", "gradio"),
}
"""Import names of the packages that a stage loads whatever its configuration says."""

_LOGGERS = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb"}
_BATCH_COMMANDS = {
    "slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub",
    "htcondor": "condor_submit", "moab": "msub", "oar": "oarsub",
}  # fmt: skip
MAIN_SLOTS: dict[str, str] = {
    "create_dataset": "training_config", "train_tokenizer": "training_config",
    "collect_stats": "training_config", "train": "training_config",
    "infer": "inference_config", "measure": "metrics_config",
}  # fmt: skip
"""Slot whose parts a stage builds."""
_SPLITS = ("train", "valid", "test")
_OURS = {"espnet3", "egs3", "src"}


@dataclass(frozen=True)
class Need:
    """Something without which a stage cannot run."""

    kind: Kind
    name: str
    """Import name, command, number of GPUs, or path."""
    reason: str
    """Key or file that asks for it; empty for what the stage needs anyway."""


def needs_of_stage(stage: str, config: Any, recipe_dir: Path) -> list[Need]:
    """Return what one stage needs, each thing once.

    Args:
        stage: Stage of the table; ``train`` stands for any phase of training.
        config: Its prepared configuration, by :data:`MAIN_SLOTS`, or ``None``.
        recipe_dir: Folder of the recipe.
    """
    packages = (*COMMON_PACKAGES, *STAGE_PACKAGES.get(stage, ()))
    needs = [Need("package", name, "") for name in packages]
    plain = _plain(config)
    if stage in ("collect_stats", "train", "infer", "measure"):
        read = {k: v for k, v in plain.items() if stage == "train" or k not in TRAIN_ONLY}
        needs += _target_needs(read, recipe_dir)
        needs += [Need("package", "espnet2", key) for key, _ in iter_needs(stage, plain)]
    if stage in ("collect_stats", "infer"):
        needs += _parallel_needs(plain.get("parallel") or {})
    if stage in ("create_dataset", "collect_stats", "train", "infer"):
        needs += _dataset_needs(plain, recipe_dir, is_building=stage == "create_dataset")
    if stage == "train":
        needs += _trainer_needs(plain)
    if stage == "infer" and str(plain.get("device") or "").startswith("cuda"):
        needs.append(Need("gpu", "1", "device"))
    return list({(need.kind, need.name): need for need in reversed(needs)}.values())[::-1]


def _target_needs(plain: Mapping[str, Any], recipe_dir: Path) -> Iterator[Need]:
    from espnet3.utils.config_utils import iter_targets
    from espnet3.utils.target_aliases import serving_target

    for key, named in iter_targets(plain):
        target = serving_target(named)
        top, *_, name = target.split(".")
        if top == "src":
            yield from _code_needs([_module_file(recipe_dir, target)], is_building=True)
        elif top not in _OURS:
            yield Need("package", top, key)
        if name in _LOGGERS:
            yield Need("package", _LOGGERS[name], key)


def _module_file(recipe_dir: Path, target: str) -> Path:
    """Return the file of ``src.model.MyModel``: the longest prefix that is one."""
    parts = target.split(".")
    files = (
        recipe_dir.joinpath(*parts[:end]).with_suffix(".py") for end in range(len(parts), 1, -1)
    )
    return next((f for f in files if f.is_file()), recipe_dir / "src" / "__init__.py")


def _code_needs(files: list[Path], *, is_building: bool) -> Iterator[Need]:
    for item in find_imports(path for path in files if path.is_file()):
        if is_building or not item.is_late:
            yield Need("package", item.module, f"{item.file.name}:{item.line}")


def _dataset_needs(
    plain: Mapping[str, Any], recipe_dir: Path, *, is_building: bool
) -> Iterator[Need]:
    """Look at the dataset modules; what only a builder imports counts for it alone."""
    dataset = plain.get("dataset") or {}
    entries = [entry for split in _SPLITS for entry in dataset.get(split) or []]
    sources = [entry.get("data_src") for entry in entries if isinstance(entry, Mapping)]
    for source in dict.fromkeys(sources):
        file = _dataset_file(source, recipe_dir)
        yield Need("file", str(file or source), "dataset")
        if file is not None:
            files = sorted(file.parent.glob("**/*.py")) if file.stem == "__init__" else [file]
            yield from _code_needs(files, is_building=is_building)


def _dataset_file(source: str | None, recipe_dir: Path) -> Path | None:
    from espnet3.components.data.dataset_module import resolve_dataset_module_name
    from espnet3.utils.source_lookup import find_source, module_exists

    if not source:
        return recipe_dir / "dataset" / "__init__.py"
    module = resolve_dataset_module_name(source) if "/" in source else source
    return find_source(f"{module}.Dataset") if module_exists(module) else None


def _parallel_needs(parallel: Mapping[str, Any]) -> Iterator[Need]:
    env = parallel.get("env") or "local"
    if env == "local" and (parallel.get("n_workers") or 1) == 1:
        return
    reason = f"parallel.env: {env}"
    yield Need("package", "dask", reason)
    yield Need("package", "distributed", reason)
    if env in _BATCH_COMMANDS:
        yield Need("package", "dask_jobqueue", reason)
        yield Need("tool", _BATCH_COMMANDS[env], reason)
    elif env == "kube":
        yield Need("package", "dask_kubernetes", reason)
    elif env == "ssh":
        yield Need("package", "asyncssh", reason)
    elif env == "local_gpu":
        yield Need("gpu", str(parallel.get("n_workers") or 1), reason)


def _trainer_needs(plain: Mapping[str, Any]) -> Iterator[Need]:
    trainer = plain.get("trainer") or {}
    if trainer.get("accelerator") in ("gpu", "cuda"):
        devices = trainer.get("devices")
        wanted = len(devices) if isinstance(devices, list) else devices
        count = wanted if isinstance(wanted, int) and wanted > 0 else 1
        yield Need("gpu", str(count), f"trainer.accelerator: {trainer['accelerator']}")


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if config is None:
        return {}
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return plain
