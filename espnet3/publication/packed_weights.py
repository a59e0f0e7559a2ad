"""Which weights go into a bundle, and in what form."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from espnet3.errors import BundleError, ConfigError, WeightsError
from espnet3.publication.pack_inputs import PackInputs
from espnet3.publication.settings import PackSettings
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.checkpoint_outline import read_outline
from espnet3.utils.path_utils import atomic_path
from espnet3.utils.weights_utils import (
    export_safetensors,
    fit_prefix,
    read_checkpoint,
    read_state_dict,
    tensors_of,
)

logger = logging.getLogger(__name__)

CHECKPOINT_SUFFIXES = frozenset({".ckpt", ".pth", ".pt", ".safetensors"})


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """A checkpoint whose weights are packed.

    Args:
        name: Name in ``meta.yaml``; ``None`` for a checkpoint that is not registered there.
        source: The checkpoint.
        destination: Bundle path under the checkpoint's own name.
        keeps_name: Export as a flat ``torch`` file of the same name, for readers that know no other
            format, instead of as ``<stem>.safetensors``.
    """

    name: str | None
    source: Path
    destination: str
    keeps_name: bool = False


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """What became of a :class:`WeightSource`: where it lies and what ``meta.yaml`` says of it."""

    destination: str
    facts: Mapping[str, Any]


def choose_weights(inputs: PackInputs, found: Mapping[str, Path]) -> tuple[WeightSource, ...]:
    """Pick the checkpoints whose weights are packed.

    These are the ones that ``inference_config.model`` names; without any, the newest averaged model
    of the experiment, else its ``last.ckpt``, else all of its checkpoints.

    Args:
        inputs: What is packed.
        found: Bundle path → checkpoint of the experiment folder.
    """
    places = {path: place for place, path in found.items()}
    named: dict[Path, str | None] = dict(_named_in_model(inputs))
    if not named:
        chosen = _best_of(list(places))
        named = {path: f"model_file_{index}" for index, path in enumerate(chosen)}
    if named:
        named[next(iter(named))] = "asr_model_file" if inputs.task == "asr" else "model_file"
    if inputs.settings.checkpoints == "all":
        known = {os.path.realpath(path) for path in named}
        named |= {path: None for path in places if os.path.realpath(path) not in known}
    target = str(inputs.read("inference", "model._target_") or "")
    return tuple(
        WeightSource(
            name=name,
            source=path,
            destination=places.get(path) or _default_place(inputs, path),
            keeps_name=target.startswith("espnet2.") or inputs.settings.weights_format == "torch",
        )
        for path, name in named.items()
    )


def check_format(weights: Sequence[WeightSource], settings: PackSettings) -> None:
    """Raise if the form of the weights is not one that their reader knows.

    Raises:
        ConfigError: If safetensors are asked for where ESPnet2 reads.
    """
    if settings.weights_format == "safetensors" and any(weight.keeps_name for weight in weights):
        raise ConfigError(
            "cannot be read by ESPnet2",
            key="publication_config.pack_model.weights_format",
            value="safetensors",
            hint="leave it out, or name a model of espnet3 in inference.yaml",
        )


def _named_in_model(inputs: PackInputs) -> Iterator[tuple[Path, str]]:
    for key, text in iter_strings(inputs.read("inference", "model")):
        if PurePosixPath(text).suffix in CHECKPOINT_SUFFIXES:
            path = inputs.locate(text)
            if path.is_file():
                yield path, key.rpartition(".")[2]


def _best_of(checkpoints: Sequence[Path]) -> list[Path]:
    averaged = [path for path in checkpoints if path.suffix == ".pth" and ".ave" in path.name]
    if averaged:
        return [max(averaged, key=lambda path: (path.stat().st_mtime, path.name))]
    last = [path for path in checkpoints if path.name == "last.ckpt"]
    return last or list(checkpoints)


def _default_place(inputs: PackInputs, path: Path) -> str:
    root = inputs.recipe_root
    if root is not None and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"files/{path.name}"


def export_weights(
    weights: Sequence[WeightSource], bundle: Path, mode: str = "inference"
) -> dict[Path, PackedWeight]:
    """Write the weights of checkpoints into a bundle.

    A file that is no checkpoint is copied as it is, with a warning.

    Args:
        weights: What to write.
        bundle: Folder of the bundle.
        mode: The setting ``pack_model.weights``: without training state and pickled objects, or
            with them.

    Raises:
        BundleError: If a checkpoint is damaged.
    """
    return {weight.source: _export(weight, bundle, mode) for weight in weights}


def _export(weight: WeightSource, bundle: Path, mode: str) -> PackedWeight:
    try:
        content = _read(weight.source)
    except WeightsError as error:
        _refuse_damaged(weight.source, error)
        logger.warning("%s is packed as it is: %s", weight.source, error)
        return _copy(weight, bundle, {"format": "unknown", "tensor_only": False})
    state = tensors_of(content)
    if weight.source.suffix == ".ckpt":
        state = fit_prefix(state)
    facts = {
        "params": _count_parameters(weight.source, content, state),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}),
    }
    if weight.source.suffix == ".safetensors":
        return _copy(weight, bundle, {"format": "safetensors", "tensor_only": True, **facts})
    if mode != "inference" and "state_dict" in content:
        added = {"module": state} if mode == "full" else {}
        return _keep(weight, bundle, {**content, **added}, facts)
    as_torch = {"format": "torch", "tensor_only": True, **facts}
    if mode != "inference":
        return _copy(weight, bundle, as_torch)
    if weight.keeps_name:
        plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        return _save(weight, bundle, plain, as_torch)
    destination = PurePosixPath(weight.destination).with_suffix(".safetensors").as_posix()
    export_safetensors(state, _make_place(bundle / destination))
    facts = {"format": "safetensors", "tensor_only": True, **facts}
    return PackedWeight(destination=destination, facts=facts)


def _count_parameters(source: Path, content: Any, state: Mapping[str, Any]) -> int:
    """Return the number of parameters; only a checkpoint tells them from buffers."""
    last = source.parent / "last.ckpt"
    if "num_parameters" not in content and source.suffix != ".ckpt" and last.is_file():
        with contextlib.suppress(WeightsError):
            content = read_outline(last)
    known = content.get("num_parameters") if isinstance(content, Mapping) else None
    every = sum(tensor.numel() for tensor in state.values())
    return known if isinstance(known, int) else every


def _keep(
    weight: WeightSource, bundle: Path, content: Mapping[str, Any], facts: Mapping[str, Any]
) -> PackedWeight:
    """Write a checkpoint with its training state."""
    facts = {"format": "torch", "tensor_only": False, **facts}
    if "module" in content:
        return _save(weight, bundle, content, facts)
    if weight.keeps_name:
        logger.warning("%s is packed with its training state, which ESPnet2 cannot read; "
                       "pack_model.weights: full adds what it can", weight.source)  # fmt: skip
    return _copy(weight, bundle, facts)


def _read(source: Path) -> Mapping[str, Any]:
    """Return the content of a checkpoint that holds tensors."""
    if source.suffix == ".safetensors":
        return read_state_dict(source)
    content = read_checkpoint(source)
    if not tensors_of(content):
        raise WeightsError(f"{source} holds no tensors")
    return cast(Mapping[str, Any], content)


def _refuse_damaged(source: Path, error: WeightsError) -> None:
    with source.open("rb") as stream:
        is_archive = stream.read(2) == b"PK"
    if is_archive or source.suffix == ".safetensors":
        raise BundleError(
            f"{error}\n  train again, or name another checkpoint in inference_config.model"
        ) from error


def _save(
    weight: WeightSource, bundle: Path, content: Mapping[str, Any], facts: Mapping[str, Any]
) -> PackedWeight:
    import torch

    with atomic_path(_make_place(bundle / weight.destination)) as temporary:
        torch.save(dict(content), temporary)
    return PackedWeight(destination=weight.destination, facts=facts)


def _copy(weight: WeightSource, bundle: Path, facts: Mapping[str, Any]) -> PackedWeight:
    shutil.copyfile(weight.source, _make_place(bundle / weight.destination))
    return PackedWeight(destination=weight.destination, facts=facts)


def _make_place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
