"""What the stages of the base system read from their configuration files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet3.components.callbacks.settings import read_criteria
from espnet3.components.inference.settings import ExecutionSettings, choose_mode
from espnet3.components.trainers.settings import TrainerSettings
from espnet3.errors import MissingConfigError, SettingError
from espnet3.parallel.settings import ParallelSettings
from espnet3.utils.settings import rest


@dataclass(frozen=True, kw_only=True)
class InitFromSettings:
    """``init_from``: weights to start from; optimizer and counters start fresh."""

    path: Path
    """Weight file: ``.pth``, ``.ckpt`` or ``.safetensors``."""
    include: list[str] | None = None
    """Selectors (dotted fragments) of the model's parameters to fill; null means all."""
    exclude: list[str] | None = None
    """Selectors of parameters to leave alone."""
    rename: dict[str, str] | None = None
    """Beginnings of names in the file, and what they are called in the model."""
    strict: bool = True
    """Require that every selected name exists on both sides with the same shape."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What ``train`` and ``collect_stats`` read from training.yaml."""

    exp_dir: Path
    """Folder of checkpoints, logs and ``training.yaml``."""
    stats_dir: Path | None = None
    """Folder of the files of ``collect_stats``."""
    task: str | None = None
    """Class of an ESPnet2 task that builds the model from its options in ``model``."""
    model: dict[str, Any] | None = None
    """Mapping with ``_target_`` of a torch module."""
    seed: int | None = None
    """Seed of all random numbers; null leaves them alone."""
    parallel: dict[str, Any] | None = None
    """Section of the parallel runtime."""
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    """Arguments of the training loop."""
    best_model_criterion: Any = None
    """Which checkpoints are kept and averaged; null is ``[[valid/loss, 3, min]]``."""
    fit: dict[str, Any] | None = None
    """Arguments of ``lightning.Trainer.fit``; ``ckpt_path: auto`` continues if possible."""
    init_from: InitFromSettings | None = None
    """Weights to start from."""
    lightning_module: dict[str, Any] | None = None
    """Mapping with ``_target_`` that is built instead of ``ESPnetLightningModule``."""
    trainer_class: str | None = None
    """Dotted path of a class that is used instead of ``ESPnet3LightningTrainer``."""
    others: dict[str, Any] = rest("keys that the data, the module or other stages read")

    def __post_init__(self) -> None:
        read_criteria(self.best_model_criterion)


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """What ``infer`` reads from inference.yaml."""

    inference_dir: Path
    """Folder of the outputs, one folder per test set below it."""
    dataset: dict[str, Any] | None = None
    """Organizer with ``test``: a list of entries with a ``name`` each."""
    input_key: str | list[str] | None = None
    """Field or fields of a sample that the model takes."""
    output_fn: str | None = None
    """Dotted path of the function that makes a record of a model's result."""
    output_keys: str | list[str] | None = None
    """Fields of a record that are written; null writes all of the first record."""
    idx_key: str | None = None
    """Field of a record with the sample id; null means ``utt_id``."""
    batch_size: int | None = None
    """Samples per call of the model; null calls it with one sample, not in a list."""
    output_artifacts: dict[str, Any] | None = None
    """How output fields are written, by field."""
    provider: dict[str, Any] | None = None
    """``_target_`` of the provider, and its ``params``."""
    runner: dict[str, Any] | None = None
    """``_target_`` of the runner, and its arguments."""
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    """How samples are batched, read ahead and what happens when one fails."""
    contract: Any = None
    """Reserved: typed inputs and outputs, which come with a later version."""
    others: dict[str, Any] = rest("Keys of the provider, the model and the parallel runtime.")

    def __post_init__(self) -> None:
        if self.input_key is None:
            raise MissingConfigError(
                "must be set to the field(s) that the model takes", key="inference_config.input_key"
            )
        for name in ("input_key", "output_keys"):
            if getattr(self, name) in ("", []):
                raise MissingConfigError("must not be empty", key=f"inference_config.{name}")
        for name in ("provider", "runner"):
            if not getattr(self, name):
                raise MissingConfigError(
                    f"inference_config.{name} must be set to a mapping with `_target_`"
                )
        if self.contract is not None:
            both = "; it will not go together with `output_fn`" if self.output_fn else ""
            raise SettingError(
                f"is reserved for typed inputs and outputs, which come with a later version{both}",
                key="contract",
                hint="remove it; `input_key` and `output_fn` say what goes in and out",
            )
        resume = (self.runner or {}).get("resume", "auto")
        if not isinstance(resume, bool) and resume != "auto":
            raise SettingError("must be auto, true or false", key="runner.resume", value=resume)
        choose_mode(self.execution.batching, self.batch_size)

    def output_fields(self) -> list[str]:
        """Return the fields to write; none if the first record decides."""
        keys = self.output_keys or []
        return [keys] if isinstance(keys, str) else list(keys)

    @property
    def training_config(self) -> Path | None:
        """``training.yaml`` of the experiment that the outputs belong to."""
        exp_dir = self.others.get("exp_dir")
        return Path(exp_dir, "training.yaml") if isinstance(exp_dir, str) else None

    @property
    def reuses_finished_run(self) -> bool:
        """Whether a finished, equal run makes another one unnecessary."""
        return bool((self.runner or {}).get("resume", "auto"))

    def test_names(self) -> list[str]:
        """Return the names of the test sets, in the order of the file.

        Raises:
            MissingConfigError: If there are none, or one has no name.
            SettingError: If two have the same name.
        """
        names = _read_test_names(self.dataset)
        if not names:
            raise SettingError("must list at least one test set", key="dataset.test")
        return names


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """One entry of ``metrics`` in metrics.yaml."""

    metric: dict[str, Any]
    """``_target_`` of the metric and its arguments."""
    inputs: list[str] | dict[str, str] | None = None
    """Names of SCP files, or alias to name; null means the metric's ``ref_key`` and ``hyp_key``."""
    name: str | None = None
    """Key of the scores in metrics.json; null means the class path."""


BLOCK_KEY = "confidence.block_by"
"""Key of the column whose values are drawn as a whole."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceSettings:
    """``confidence``: how sure a score is, by resampling the test set."""

    level: float = 0.95
    """Probability that an interval covers."""
    replicates: int = 10_000
    """How often the test set is drawn."""
    seed: int = 0
    """Seed of the draws."""
    block_by: str | None = None
    """Column whose values are drawn as a whole, for example the speaker; null draws utterances."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise SettingError("must lie between 0 and 1", key="level", value=self.level)
        if self.replicates < 100:
            raise SettingError("must be at least 100", key="replicates", value=self.replicates)


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """What ``measure`` reads from metrics.yaml."""

    inference_dir: Path
    """Folder that ``infer`` wrote; scores are written beside the test sets."""
    metrics: list[MetricSettings] | None = None
    """Metrics in the order in which they run; required, but it may be empty."""
    dataset: dict[str, Any] | None = None
    """Optional ``test`` list whose names replace the search for test sets."""
    allow_incomplete: bool = False
    """Score test sets that ``infer`` has not finished, and record the coverage."""
    merge: bool = False
    """Keep scores of metrics.json whose metric is not in this file."""
    confidence: ConfidenceSettings | None = field(default_factory=ConfidenceSettings)
    """How the error bars of scores are made; null makes none."""
    breakdown: list[str] = field(default_factory=list)
    """Columns by which scores are split: SCP files, columns of ``metadata``, or ``length``."""
    metadata: Path | dict[str, Path] | None = None
    """Table with a column ``utt_id``: TSV or CSV; one for all test sets, or one for each name."""
    compare_with: Path | None = None
    """``inference_dir`` of an earlier, measured run on the same test sets."""
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    """With more than one worker, test sets and metrics are scored side by side."""
    others: dict[str, Any] = rest("Keys that only interpolations read.")

    def __post_init__(self) -> None:
        if self.metrics is None:
            raise SettingError("must be set to a list of metrics", key="metrics")

    def test_names(self) -> list[str]:
        """Return the configured names of test sets, an empty list if there are none."""
        return _read_test_names(self.dataset)

    def columns(self) -> dict[str, str]:
        """Return the columns that are needed, each with the key that names it."""
        block_by = self.confidence and self.confidence.block_by
        blocks = {block_by: BLOCK_KEY} if block_by else {}
        return {name: f"breakdown[{i}]" for i, name in enumerate(self.breakdown)} | blocks

    def metadata_of(self, test_name: str) -> Path | None:
        """Return the table of a test set."""
        if isinstance(self.metadata, dict):
            return self.metadata.get(test_name)
        return self.metadata


def _read_test_names(dataset: dict[str, Any] | None) -> list[str]:
    names = []
    for index, entry in enumerate((dataset or {}).get("test") or []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if name is not None and not isinstance(name, str):
            raise SettingError(
                "must be a text",
                key=f"dataset.test[{index}].name",
                value=name,
                hint=f"write it in quotes: '{name}'",
            )
        if not isinstance(name, str) or not name.strip():
            raise MissingConfigError(
                "every test set must define non-empty `name`", key=f"dataset.test[{index}]"
            )
        if name.startswith(".") or "/" in name or "\\" in name:
            raise SettingError(
                "cannot be the name of a folder", key=f"dataset.test[{index}].name", value=name
            )
        names.append(name)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SettingError(f"test sets share a name: {', '.join(repeated)}", key="dataset.test")
    return names
