"""What strategy ``espnet2`` packs: the artifacts that ESPnet2's own tools look for.

Nothing of ESPnet2 is imported. Its loader replaces values of registered YAML files that name
members of the bundle by absolute paths, so such values are relative to the bundle root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from espnet3.errors import MissingConfigError, MissingFileError
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.packed_weights import CHECKPOINT_SUFFIXES, WeightSource
from espnet3.publication.plan_draft import PlanDraft, suffix_of
from espnet3.publication.settings import PackSettings
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.espnet2_run import FILE_OPTIONS

SECTION = "publication_config.pack_model.espnet2"

_TRAINING_CONFIG, _MODEL_FILE = "asr_train_config", "asr_model_file"


def check_section(settings: PackSettings) -> None:
    """Raise unless the section says what the model is for.

    Raises:
        MissingConfigError: If the section, or ``task`` in it, is absent.
    """
    if settings.espnet2 is None:
        raise MissingConfigError(
            "must be a section under strategy espnet2",
            key=SECTION,
            hint="write `espnet2: {task: asr}`, or set pack_model.strategy: espnet3",
        )
    if not settings.espnet2.task:
        raise MissingConfigError(
            "must be set under strategy espnet2", key=f"{SECTION}.task", hint="for example asr"
        )


def add_declared(
    draft: PlanDraft,
    files: dict[str, str],
    yaml_files: dict[str, str],
    found: tuple[WeightSource, ...],
) -> tuple[WeightSource, ...]:
    """Add what the section names; what ``files`` and ``yaml_files`` name already stays.

    Args:
        draft: The plan in the making.
        files: Registered files so far; extended.
        yaml_files: Registered YAML files so far; extended.
        found: Weights that the inference config names.

    Returns:
        The weights to pack, all of them as flat ``torch`` files of their own name.

    Raises:
        MissingFileError: If a file does not exist.
    """
    section = draft.inputs.settings.espnet2
    assert section is not None
    weights: list[WeightSource] = []
    for name, source, place in _locate(draft, "files", section.files or {}):
        if name in files:
            continue
        if source.suffix in CHECKPOINT_SUFFIXES and source.is_file():
            weights.append(WeightSource(name=name, source=source, destination=place))
        else:
            _add(draft, source, place)
            files[name] = place
    for name, source, place in _locate(draft, "yaml_files", section.yaml_files or {}):
        if name not in yaml_files:
            _add(draft, source, place)
            yaml_files[name] = place
    options = {path.name: path for path in section.option or ()}
    for _, source, place in _locate(draft, "option", options):
        _add(draft, source, place)
    weights += [w for w in found if w.source not in {known.source for known in weights}]
    weights += _default_weights(
        draft, {*files, *(weight.name for weight in weights if weight.name)}
    )
    return tuple(replace(weight, keeps_name=True) for weight in _unique(weights, files))


def register_plain_yaml(
    draft: PlanDraft, yaml_files: Mapping[str, str], strategy: str
) -> frozenset[str]:
    """Return which registered YAML files ESPnet2 reads, and add the files that they name."""
    names = yaml_files if strategy == "espnet2" else {_TRAINING_CONFIG} & set(yaml_files)
    places = frozenset(yaml_files[name] for name in names)
    for place in sorted(places):
        content = read_mapping(draft.copies[place]) if place in draft.copies else None
        for key, text in iter_strings(content):
            path = draft.inputs.locate(text) if key.rpartition(".")[2] in FILE_OPTIONS else None
            if path is not None and path.is_file():
                draft.add_referenced(path)
    return places


def _locate(
    draft: PlanDraft, kind: str, entries: Mapping[str, Path]
) -> Iterator[tuple[str, Path, str]]:
    """Yield name, source and place of declared files: in the recipe, else below ``kind``."""
    for name, path in entries.items():
        source = draft.inputs.locate(path)
        if not source.exists():
            raise MissingFileError(f"{source} does not exist", key=f"{SECTION}.{kind}", value=name)
        place = draft.relocator.destination(source)
        if place is None:
            place = f"{kind}/{source.name if kind == 'option' else name + suffix_of(source)}"
            draft.moved[source] = place
        yield name, source, place


def _add(draft: PlanDraft, source: Path, place: str) -> None:
    # What is named by itself is never excluded.
    if source.is_dir():
        draft.add_tree(source, place)
    else:
        draft.add(source, place)


def _default_weights(draft: PlanDraft, known: set[str]) -> Iterator[WeightSource]:
    exp_dir = draft.inputs.exp_dir
    if draft.inputs.task != "asr" or exp_dir is None or _MODEL_FILE in known:
        return
    source = exp_dir / "last.ckpt"
    if source.is_file():
        place = draft.relocator.destination(source) or f"files/{_MODEL_FILE}.ckpt"
        yield WeightSource(name=_MODEL_FILE, source=source, destination=place)


def _unique(weights: list[WeightSource], files: Mapping[str, str]) -> Iterator[WeightSource]:
    """Yield weights under names of their own."""
    taken = set(files)
    for weight in weights:
        if weight.name is None:
            yield weight
            continue
        name, number = weight.name, 1
        while name in taken:
            number += 1
            name = f"{weight.name}_{number}"
        taken.add(name)
        yield replace(weight, name=name)
