"""Which weights go into a bundle, and in what form."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from espnet3.errors import BundleError, WeightsError
from espnet3.publication.pack_inputs import PackInputs
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.path_utils import atomic_path
from espnet3.utils.weights_utils import export_safetensors, fit_prefix, read_state_dict

logger = logging.getLogger(__name__)

CHECKPOINT_SUFFIXES = frozenset({".ckpt", ".pth", ".pt", ".safetensors"})


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """A checkpoint whose weights are packed.

    Args:
        name: Name in ``meta.yaml``.
        source: The checkpoint.
        destination: Bundle path under the checkpoint's own name.
        keeps_name: Export as a flat ``torch`` file of the same name, for readers that know no other
            format, instead of as ``<stem>.safetensors``.
    """

    name: str
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
    named = dict(_named_in_model(inputs))
    if not named:
        chosen = _best_of(list(places))
        named = {path: f"model_file_{index}" for index, path in enumerate(chosen)}
    target = str(inputs.read("inference", "model._target_") or "")
    first_name = "asr_model_file" if inputs.task == "asr" else "model_file"
    return tuple(
        WeightSource(
            name=name if index else first_name,
            source=path,
            destination=places.get(path) or _default_place(inputs, path),
            keeps_name=target.startswith("espnet2."),
        )
        for index, (path, name) in enumerate(named.items())
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


def export_weights(weights: Sequence[WeightSource], bundle: Path) -> dict[Path, PackedWeight]:
    """Write the weights of checkpoints into a bundle, without training state and pickled objects.

    A file that is no checkpoint is copied as it is, with a warning.

    Raises:
        BundleError: If a checkpoint is damaged.
    """
    return {weight.source: _export(weight, bundle) for weight in weights}


def _export(weight: WeightSource, bundle: Path) -> PackedWeight:
    if weight.source.suffix == ".safetensors":
        return _copy(weight, bundle, {"format": "safetensors", "tensor_only": True})
    try:
        state = read_state_dict(weight.source)
        if weight.source.suffix == ".ckpt":
            state = fit_prefix(state)
    except WeightsError as error:
        with weight.source.open("rb") as stream:
            is_archive = stream.read(2) == b"PK"
        if is_archive:
            raise BundleError(
                f"{error}\n  train again, or name another checkpoint in inference_config.model"
            ) from error
        logger.warning("%s is packed as it is: %s", weight.source, error)
        return _copy(weight, bundle, {"format": "unknown", "tensor_only": False})
    destination = PurePosixPath(weight.destination)
    if not weight.keeps_name:
        destination = destination.with_suffix(".safetensors")
    path = bundle / destination
    path.parent.mkdir(parents=True, exist_ok=True)
    if weight.keeps_name:
        import torch

        with atomic_path(path) as temporary:
            torch.save(
                {name: tensor.cpu().contiguous() for name, tensor in state.items()}, temporary
            )
    else:
        export_safetensors(state, path)
    facts = {
        "format": "torch" if weight.keeps_name else "safetensors",
        "tensor_only": True,
        "params": sum(tensor.numel() for tensor in state.values()),
    }
    return PackedWeight(destination=destination.as_posix(), facts=facts)


def _copy(weight: WeightSource, bundle: Path, facts: Mapping[str, Any]) -> PackedWeight:
    path = bundle / weight.destination
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weight.source, path)
    return PackedWeight(destination=weight.destination, facts=facts)
