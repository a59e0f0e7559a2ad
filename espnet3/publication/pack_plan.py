"""Decide what goes where in a bundle. Reads the disk, writes nothing."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication.bundle import CONFIG_ENTRIES
from espnet3.publication.espnet2_plan import add_declared, check_section, register_plain_yaml
from espnet3.publication.file_selection import Selection
from espnet3.publication.out_dir import check_out_dir
from espnet3.publication.pack_inputs import PackInputs
from espnet3.publication.packed_weights import WeightSource, check_format, choose_weights
from espnet3.publication.path_patterns import PathPatterns
from espnet3.publication.path_rewrite import Relocator, absolute, is_path_key
from espnet3.publication.plan_draft import PlanDraft, suffix_of, suggest_neighbour
from espnet3.publication.scores import find_scores
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.espnet2_table import RUN_OPTIONS

logger = logging.getLogger(__name__)

RECIPE_ASSETS = (
    "conf", "src", "dataset", "run.py", "pixi.toml", "pixi.lock", ".python-version",
    "pyproject.toml", "uv.lock", "LICENSE*",
)  # fmt: skip
USER_CODE = ("src",)
_MAX_PATH = 1024
_REFERRING_SECTIONS = {
    "training": ("model", "tokenizer.save_path", "normalize", "dataset.preprocessor"),
    "inference": ("model", "tokenizer.save_path"),
}


@dataclass(frozen=True, kw_only=True)
class PackPlan:
    """Everything that packing will do."""

    inputs: PackInputs
    strategy: str
    copies: Mapping[str, Path]
    """Bundle path → file; copied as they are (text files are made relocatable)."""
    weights: tuple[WeightSource, ...]
    files: Mapping[str, str]
    """Registered artifacts: name → bundle path."""
    yaml_files: Mapping[str, str]
    plain_yaml: frozenset[str]
    """Bundle paths of the registered YAML that ESPnet2 reads, which knows no ``${recipe_dir}``."""
    moved: Mapping[Path, str]
    """Absolute path → bundle path, where the two differ by more than the recipe root."""
    listed: tuple[str, ...]
    """Bundle paths that the user asked for; no YAML below them is pruned."""
    scores: Path | None
    absent: tuple[tuple[str, Path], ...]
    """Key and path of what is listed and does not exist, or of a glob that matches nothing."""
    selection: Selection
    """What was left out."""

    @property
    def relocator(self) -> Relocator:
        """How paths are rewritten."""
        return Relocator(recipe_root=self.inputs.recipe_root, moved=self.moved)


def choose_strategy(inputs: PackInputs) -> str:
    """Return the packing strategy.

    Raises:
        MissingConfigError: If it is ``espnet2`` and its section does not name the task.
    """
    strategy: str = inputs.settings.strategy
    if strategy == "auto":
        strategy = "espnet2" if inputs.read("training", "task") else "espnet3"
    if strategy == "espnet2":
        check_section(inputs.settings)
    return strategy


def plan_pack(inputs: PackInputs) -> PackPlan:
    """Decide on the content of a bundle and check that all of it exists.

    Raises:
        BundleError: If an artifact is absent, two files claim one place, several score files are
            found, or ``out_dir`` must not be replaced.
        MissingConfigError: If strategy ``espnet2`` lacks its section or the task in it.
        MissingFileError: If a file of that section is absent.
    """
    strategy = choose_strategy(inputs)
    draft = PlanDraft(inputs=inputs, selection=_selection(inputs))
    _add_recipe(draft)
    _add_listed_paths(draft, strategy)
    _add_registered(draft)
    draft.weights = choose_weights(inputs, draft.checkpoints)
    if strategy == "espnet2":
        draft.weights = add_declared(draft, draft.files, draft.yaml_files, draft.weights)
    check_format(draft.weights, inputs.settings)
    _add_default_artifacts(draft)
    plain_yaml = register_plain_yaml(draft, draft.yaml_files, strategy)
    _add_referenced(draft)
    check_out_dir(inputs, draft.sources)
    return _finish(draft, strategy, plain_yaml)


def _finish(draft: PlanDraft, strategy: str, plain_yaml: frozenset[str]) -> PackPlan:
    inputs = draft.inputs
    # Configs in memory are written anew.
    written = [place for place in CONFIG_ENTRIES.values() if Path(place).stem in inputs.configs]
    copies = {place: draft.copies[place] for place in sorted(draft.copies) if place not in written}
    return PackPlan(
        inputs=inputs,
        strategy=strategy,
        copies=copies,
        weights=draft.weights,
        files=draft.files,
        yaml_files=draft.yaml_files,
        plain_yaml=plain_yaml,
        moved=draft.moved,
        listed=tuple(draft.listed),
        scores=find_scores(inputs),
        absent=tuple(draft.absent),
        selection=draft.selection,
    )


def _selection(inputs: PackInputs) -> Selection:
    return Selection(
        exclude=PathPatterns(inputs.settings.exclude_patterns),
        bundle_dir=inputs.out_dir,
        inference_dir=inputs.read_path("inference", "inference_dir"),
    )


def _add_recipe(draft: PlanDraft) -> None:
    root = draft.inputs.recipe_root
    for pattern in RECIPE_ASSETS if root else ():
        assert root is not None
        for asset in sorted(root.glob(pattern)):
            draft.add_tree(asset, asset.name)


def _add_listed_paths(draft: PlanDraft, strategy: str) -> None:
    """Add what ``include`` and ``extra`` name."""
    inputs = draft.inputs
    exp_dir = inputs.exp_dir
    # Under strategy espnet2 the section of that name says what of the experiment is packed.
    default = (exp_dir,) if exp_dir is not None and strategy == "espnet3" else ()
    include = default if inputs.include is None else inputs.include
    listed = [("include", path) for path in (*include, *inputs.settings.include_paths)]
    listed += [("extra", path) for path in (*inputs.extra, *inputs.settings.extra_paths)]
    data_dir = inputs.read_path("training", "data_dir")
    if inputs.settings.include_data_dir and data_dir is not None and data_dir.exists():
        listed.append(("extra", data_dir))
    for key, path in listed:
        for source in _expand(draft, path, key):
            is_experiment = source == exp_dir
            destination = _place(draft, source)
            if not is_experiment:
                draft.listed.append(destination)
            draft.add_tree(source, destination, is_experiment=is_experiment)
            draft.sources.append(source)


def _expand(draft: PlanDraft, path: Path, key: str) -> list[Path]:
    inputs = draft.inputs
    located = inputs.locate(path)
    if located.exists():
        return [located]
    wanted = absolute(path, inputs.recipe_root or Path.cwd())
    found = sorted(glob.glob(str(wanted), recursive=True))  # noqa: PTH207 - absolute
    if not found:
        draft.absent.append((key, wanted))
    return [Path(name) for name in found]


def _place(draft: PlanDraft, source: Path) -> str:
    """Return where a listed path goes: its place in the recipe, ``exp``, or its own name."""
    root = draft.inputs.recipe_root
    in_recipe = Relocator(recipe_root=root).destination(source)
    if in_recipe:
        return in_recipe
    if source == draft.inputs.exp_dir:
        place = "exp"
    else:
        place = source.name
        logger.warning("%s lies outside the recipe; it is packed as %s", source, place)
    draft.moved[source] = place
    return place


def _add_registered(draft: PlanDraft) -> None:
    """Add what ``files`` and ``yaml_files`` name."""
    tables = {"files": draft.files, "yaml_files": draft.yaml_files}
    for section, table in tables.items():
        entries: dict[str, Path] = getattr(draft.inputs.settings, section) or {}
        for name, path in entries.items():
            source = draft.inputs.locate(path)
            if not source.exists():
                raise BundleError(
                    f"publication_config.pack_model.{section}.{name}: {source} does not exist"
                    f"{suggest_neighbour(source)}"
                )
            place = f"{section}/{name}{suffix_of(source)}"
            for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
                if not file.is_dir() and file.exists():
                    inner = file.relative_to(source).as_posix()
                    draft.add(file, place if inner == "." else f"{place}/{inner}")
            if source not in draft.copies.values():
                draft.moved[source] = place
            table[name] = place
            draft.sources.append(source)


def _add_referenced(draft: PlanDraft) -> None:
    """Add what configs name, and say where weights from elsewhere go."""
    exported = {weight.source for weight in draft.weights}
    for path in _referenced_files(draft.inputs):
        if path not in exported:
            draft.add_referenced(path)
    for weight in draft.weights:
        if draft.relocator.destination(weight.source) is None:
            draft.moved[weight.source] = weight.destination


def _referenced_files(inputs: PackInputs) -> Iterator[Path]:
    """Yield the tokenizer, statistics and other files that the model sections name."""
    for name, sections in _REFERRING_SECTIONS.items():
        for section in sections:
            for key, text in iter_strings(inputs.read(name, section), section):
                last = key.rpartition(".")[2]
                if last.partition("[")[0] in RUN_OPTIONS:
                    continue
                if len(text) > _MAX_PATH or not (is_path_key(last) or "/" in text):
                    continue
                path = inputs.locate(text)
                if path.is_file() or (last == "save_path" and path.is_dir()):
                    yield path


def _add_default_artifacts(draft: PlanDraft) -> None:
    """Register the training config of an ESPnet2 experiment under the name its backends know."""
    exp_dir = draft.inputs.exp_dir
    if draft.inputs.task != "asr" or exp_dir is None:
        return
    config = exp_dir / "config.yaml"
    destination = draft.relocator.destination(config)
    if config.is_file() and destination and "asr_train_config" not in draft.yaml_files:
        draft.copies.setdefault(destination, config)
        draft.yaml_files["asr_train_config"] = destination
