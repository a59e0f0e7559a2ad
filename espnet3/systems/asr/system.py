"""Speech recognition as a workflow: the base stages and ``train_tokenizer``."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from espnet3.errors import MissingConfigError, StageError
from espnet3.systems.asr.bundle_assets import find_bundle_assets
from espnet3.systems.base import stage_plans
from espnet3.systems.base.system import BaseSystem
from espnet3.utils import publish_utils
from espnet3.utils.device_utils import process_rank
from espnet3.utils.import_utils import import_object
from espnet3.utils.path_utils import write_text
from espnet3.utils.stage_plan import StagePlan, planned_by
from espnet3.utils.stage_table import STAGES

if TYPE_CHECKING:
    from espnet3.systems.asr.settings import TokenizerSettings

logger = logging.getLogger(__name__)


def import_module(name: str) -> Any:
    """Import the module of a text builder."""
    return import_object(name, key="tokenizer.text_builder.func")


def train_sentencepiece(*args: Any, **kwargs: Any) -> None:
    """Train a tokenizer; see :mod:`espnet3.systems.asr.tokenizers.sentencepiece`."""
    from espnet3.systems.asr.tokenizers.sentencepiece import train_sentencepiece as run

    run(*args, **kwargs)


def _plan_train(system: ASRSystem) -> StagePlan:
    plan = stage_plans.plan_train(system)
    if system.training_config.get("tokenizer") is None or system.tokenizer_settings().is_trained():
        return plan
    return dataclasses.replace(plan, notes=(*plan.notes, "trains the tokenizer first"))


def _plan_train_tokenizer(system: ASRSystem) -> StagePlan:
    from espnet3.systems.asr.tokenizer_plan import plan_train_tokenizer

    recipe_dir = system.training_config.get("recipe_dir")
    return plan_train_tokenizer(system.tokenizer_settings(), recipe_dir)


def _plan_pack_model(system: ASRSystem) -> StagePlan:
    return stage_plans.plan_pack_model(system, extra=find_bundle_assets(system.training_config))


class ASRSystem(BaseSystem):
    """Workflow of a speech recogniser.

    Takes the arguments of :class:`~espnet3.systems.base.system.BaseSystem` and adds the stage
    ``train_tokenizer``, which ``train`` also runs by itself when it finds no tokenizer.
    """

    STAGE_LOG_MAPPING: ClassVar[Mapping[str, Any]] = {
        **BaseSystem.STAGE_LOG_MAPPING,
        "train_tokenizer": STAGES["train_tokenizer"].log_dir,
    }

    @planned_by(_plan_train)
    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the tokenizer if it is configured and absent, then the model."""
        self._check_start("train", args, kwargs)
        config = self.training_config
        if config.get("dataset") is None and config.get("dataset_dir") is None:
            raise MissingConfigError(
                "training_config.dataset or training_config.dataset_dir must be set"
            )
        # Other ranks start when rank 0 has a tokenizer, and must never race to write one.
        wanted = config.get("tokenizer") is not None and process_rank() == 0
        if wanted and not self.tokenizer_settings().is_trained():
            self.train_tokenizer()
        return super().train()

    @planned_by(_plan_train_tokenizer)
    def train_tokenizer(self, *args: Any, **kwargs: Any) -> None:
        """Gather the training text and train a SentencePiece model on it.

        Raises:
            RuntimeError: If the section ``tokenizer`` is absent or names no text builder, if the
                builder returns no usable text, or if a ``train_file`` of the user would change.
        """
        self._begin("train_tokenizer", args, kwargs, "training_config.tokenizer.save_path")
        began = time.monotonic()
        settings = self.tokenizer_settings()
        if settings.is_trained():
            logger.info(
                "Tokenizer already exists. Skipping train_tokenizer(). %s", settings.save_path
            )
            complaint = settings.find_complaint()
            if complaint is not None:
                logger.warning("%s", complaint)
            return
        texts = _gather_texts(settings)
        train_file = self._write_training_text(settings, texts)
        train_sentencepiece(train_file, settings.save_path, **settings.trainer_options())
        logger.info(
            "trained tokenizer: sentences=%d model_type=%s save_path=%s seconds=%.1f",
            len(texts),
            settings.model_type,
            settings.save_path,
            time.monotonic() - began,
        )

    @planned_by(_plan_pack_model)
    def pack_model(self, *args: Any, **kwargs: Any) -> Any:
        """Pack the trained model, with its tokenizer and statistics, into a bundle."""
        self._begin("pack_model", args, kwargs, "training_config.exp_dir")
        return publish_utils.pack_model(self, extra=find_bundle_assets(self.training_config))

    def tokenizer_settings(self) -> TokenizerSettings:
        """Return the section ``tokenizer`` of the training configuration.

        Raises:
            MissingConfigError: If it is absent.
            ConfigError: If it has an unknown key or a wrong value.
        """
        from espnet3.systems.asr.settings import TokenizerSettings
        from espnet3.utils.settings import parse_settings

        section = self.training_config.get("tokenizer")
        if section is None:
            raise MissingConfigError("training_config.tokenizer must be set for train_tokenizer")
        return parse_settings(
            section,
            TokenizerSettings,
            key="tokenizer",
            file=self.config_paths.get("training_config"),
        )

    def _write_training_text(self, settings: TokenizerSettings, texts: list[str]) -> Path:
        content = "\n".join(texts) + "\n"
        path = settings.train_file or self._default_train_file(settings)
        if path.is_file() and path.read_text(encoding="utf-8") != content:
            if settings.train_file is not None:
                raise StageError(
                    f"Tokenizer training text already exists with other content: {path}\n"
                    "  delete it, or name another file in tokenizer.train_file"
                )
            logger.info("overwriting the tokenizer text of an earlier run: %s", path)
        write_text(path, content)
        return path

    def _default_train_file(self, settings: TokenizerSettings) -> Path:
        data_dir = self.training_config.get("data_dir")
        if data_dir is None:
            return settings.save_path / "train.txt"
        return Path(data_dir) / "train_tokenizer" / "train.txt"


def _gather_texts(settings: TokenizerSettings) -> list[str]:
    """Call the configured text builder and return one text per sentence."""
    path = settings.text_builder.func
    if not path:
        raise MissingConfigError("training_config.tokenizer.text_builder.func must be set")
    module_name, _, name = path.rpartition(".")
    module = import_module(module_name)
    builder = getattr(module, name, None)
    if builder is None:
        raise MissingConfigError(
            f"module {module_name} has no function {name!r}",
            key="tokenizer.text_builder.func",
            value=path,
        )
    result = builder(**settings.text_builder.arguments)
    if isinstance(result, str | os.PathLike):
        file = Path(result)
        if not file.is_file():
            raise StageError(f"Tokenizer text file not found: {file} (returned by {path})")
        result = file.read_text(encoding="utf-8").splitlines()
    elif not isinstance(result, Iterable):
        kind = type(result).__name__
        raise StageError(
            f"text_builder must return a path or iterable of strings; {path} returned {kind}"
        )
    texts = [text for text in map(str, result) if text.strip()]
    if not texts:
        raise StageError(f"tokenizer.text_builder: {path} returned no text")
    return texts
