"""The workflow of one recipe: configurations in slots, one method per stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from espnet3.errors import MissingConfigError
from espnet3.systems.base import stage_plans
from espnet3.systems.base.experiment_dir import find_exp_dir

# The stages look these up as names of this module, so a plugin may replace them here.
from espnet3.systems.base.stage_targets import (
    collect_stats,
    infer,
    load_dataset_module,
    measure,
    train,
)
from espnet3.utils import publish_utils
from espnet3.utils.log_reference import lookup, resolve_log_dir
from espnet3.utils.stage_plan import planned_by
from espnet3.utils.stage_table import STAGES, flag_of, misspelt_slot, stage_entry

logger = logging.getLogger(__name__)


class BaseSystem:
    """Binds configurations to stages.

    A stage is a method without arguments; :func:`~espnet3.utils.stages_utils.run_stages` calls the
    requested ones in order. A recipe adds a stage by adding a method. Stages read their
    configurations and never change them.

    Args:
        training_config: For ``create_dataset``, ``collect_stats``, ``train`` and ``pack_model``.
        inference_config: For ``infer``.
        metrics_config: For ``measure``.
        publication_config: For ``pack_model`` and ``upload_model``.
        stage_log_mapping: Stage → folder of its log: a dotted reference from this object
            (``"training_config.exp_dir"``), a list of references of which the first that leads
            somewhere counts, or a ``Path``. Wins over :attr:`STAGE_LOG_MAPPING`.
        demo_config: For ``pack_demo`` and ``upload_demo``.
        **extra_configs: Further slots; each name ends in ``_config``.

    Raises:
        MissingConfigError: If ``training_config`` has no ``exp_dir``; also a ``ValueError``.
        ConfigError: If the path of ``exp_dir`` has a component ``None``.
        TypeError: If an extra keyword does not end in ``_config``, misspells a slot or repeats one.

    Example:
        >>> system = BaseSystem(metrics_config={"inference_dir": "exp/base/inference"})
        >>> system.stage_log_dirs["measure"].as_posix()
        'exp/base/inference'
    """

    DATASET_BUILDER_CLASS_NAME: ClassVar[str] = "DatasetBuilder"
    DATASET_CLASS_NAME: ClassVar[str] = "Dataset"
    DISTRIBUTED_STAGES: ClassVar[Sequence[str]] = ("train",)
    """Stages that all ranks execute when a launcher starts the recipe once per rank."""
    STAGE_LOG_MAPPING: ClassVar[Mapping[str, Any]] = {
        stage: entry.log_dir
        for stage, entry in STAGES.items()
        if entry.log_dir is not None and stage != "train_tokenizer"
    }

    def __init__(
        self,
        training_config: Any = None,
        inference_config: Any = None,
        metrics_config: Any = None,
        publication_config: Any = None,
        stage_log_mapping: Mapping[str, Any] | None = None,
        demo_config: Any = None,
        **extra_configs: Any,
    ) -> None:
        self.training_config = training_config
        self.inference_config = inference_config
        self.metrics_config = metrics_config
        self.publication_config = publication_config
        self.demo_config = demo_config
        for name, config in extra_configs.items():
            if not name.endswith("_config"):
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword {name!r}")
            is_alias = isinstance(getattr(type(self), name, None), property)
            meant = None if hasattr(type(self), name) else misspelt_slot(name)
            if meant is not None:
                raise TypeError(f'{type(self).__name__}() got {name!r}; did you mean "{meant}"?')
            if is_alias and getattr(self, name) is not None:
                raise TypeError(f"{type(self).__name__}() got {name!r} under its other name too")
            setattr(self, name, config)
        self.config_paths: dict[str, Path] = {}
        self.exp_dir = find_exp_dir(self)
        self._stage_log_mapping = {**self.STAGE_LOG_MAPPING, **(stage_log_mapping or {})}
        slots = [name for name, value in vars(self).items() if name.endswith("_config") and value]
        logger.info(
            "system=%s slots=%s exp_dir=%s",
            type(self).__name__,
            ",".join(name.removesuffix("_config") for name in slots) or None,
            self.exp_dir,
        )

    @property
    def train_config(self) -> Any:
        """Alias of ``training_config``."""
        return self.training_config

    @train_config.setter
    def train_config(self, config: Any) -> None:
        self.training_config = config

    @property
    def infer_config(self) -> Any:
        """Alias of ``inference_config``."""
        return self.inference_config

    @infer_config.setter
    def infer_config(self, config: Any) -> None:
        self.inference_config = config

    @property
    def demo_config_path(self) -> Path | None:
        """File of the demo configuration, where ``run.py`` loaded one."""
        return self.config_paths.get("demo_config")

    @property
    def stage_log_mapping(self) -> Mapping[str, Any]:
        """Reference of each stage to the folder of its log."""
        return self._stage_log_mapping

    @property
    def stage_log_dirs(self) -> dict[str, Path]:
        """Log folder of each stage that has one of its own, and ``default`` for the others.

        Looked up anew each time, so slots that a subclass sets late are seen.
        """
        folders = {"default": self.exp_dir or Path.cwd() / "logs"}
        for stage, reference in self._stage_log_mapping.items():
            folder = resolve_log_dir(self, reference)
            if folder is not None:
                folders[stage] = folder
        return folders

    @planned_by(stage_plans.plan_create_dataset)
    def create_dataset(self, *args: Any, **kwargs: Any) -> None:
        """Prepare the corpora of all dataset entries."""
        from espnet3.systems.base import dataset_stage

        self._begin("create_dataset", args, kwargs, "training_config.data_dir")
        dataset_stage.create_dataset(
            self.training_config,
            self.inference_config,
            load_module=load_dataset_module,
            builder_class_name=self.DATASET_BUILDER_CLASS_NAME,
        )

    @planned_by(stage_plans.plan_collect_stats)
    def collect_stats(self, *args: Any, **kwargs: Any) -> Any:
        """Collect lengths and feature statistics of the training and validation data."""
        paths = ("training_config.exp_dir", "training_config.stats_dir")
        self._begin("collect_stats", args, kwargs, *paths)
        return collect_stats(self.training_config)

    @planned_by(stage_plans.plan_train)
    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model."""
        has_task = bool((self.training_config or {}).get("task"))
        model = "training_config.task" if has_task else "training_config.model._target_"
        paths = ("training_config.exp_dir", model)
        self._begin("train", args, kwargs, *paths)
        return train(self.training_config)

    @planned_by(stage_plans.plan_infer)
    def infer(self, *args: Any, **kwargs: Any) -> Any:
        """Run the trained model over the test sets."""
        self._begin("infer", args, kwargs, "inference_config.inference_dir")
        return infer(self.inference_config)

    @planned_by(stage_plans.plan_measure)
    def measure(self, *args: Any, **kwargs: Any) -> Any:
        """Score what ``infer`` wrote."""
        from espnet3.utils.env_report import FILE_ONLY

        self._begin("measure", args, kwargs, "metrics_config.inference_dir")
        results = measure(self.metrics_config)
        logger.info("results: %s", results, extra=FILE_ONLY)
        return results

    @planned_by(stage_plans.plan_pack_model)
    def pack_model(self, *args: Any, **kwargs: Any) -> Any:
        """Pack the trained model into a bundle."""
        self._begin("pack_model", args, kwargs, "training_config.exp_dir")
        return publish_utils.pack_model(self)

    @planned_by(stage_plans.plan_upload_model)
    def upload_model(self, *args: Any, **kwargs: Any) -> Any:
        """Upload the bundle to the Hub."""
        self._begin("upload_model", args, kwargs)
        return publish_utils.upload_model(self)

    @planned_by(stage_plans.plan_pack_demo)
    def pack_demo(self, *args: Any, **kwargs: Any) -> Any:
        """Pack a web page around the model."""
        from espnet3.demo import pack

        self._begin("pack_demo", args, kwargs)
        return pack.pack_demo(self)

    @planned_by(stage_plans.plan_upload_demo)
    def upload_demo(self, *args: Any, **kwargs: Any) -> Any:
        """Try out the packed page and upload it to the Hub."""
        from espnet3.demo import pack

        self._begin("upload_demo", args, kwargs)
        return pack.upload_demo(self)

    @staticmethod
    def _reject_stage_args(stage: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``TypeError`` if a stage was called with arguments."""
        if args or kwargs:
            given = ", ".join([*map(repr, args), *(f"{key}=" for key in kwargs)])
            raise TypeError(
                f"Stage '{stage}' does not accept arguments ({given}); "
                "put all settings in the YAML config"
            )

    def _begin(
        self, stage: str, args: Sequence[Any], kwargs: Mapping[str, Any], *references: str
    ) -> None:
        """Check that a stage can start and log what it works on."""
        self._check_start(stage, args, kwargs)
        facts = " ".join(f"{ref.split('.', 1)[1]}={lookup(self, ref)}" for ref in references)
        logger.info("%s: %s", stage, facts or "starting")

    def _check_start(self, stage: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._reject_stage_args(stage, args, kwargs)
        for slot in stage_entry(stage).slots:
            if getattr(self, slot) is None:
                raise MissingConfigError(
                    f"stage {stage} needs {slot}, which is None",
                    hint=f"pass {slot}= to {type(self).__name__}, or {flag_of(slot)} to run.py",
                )
