"""The ``infer`` stage: decode test sets and write what comes out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from espnet3.errors import InferenceError
from espnet3.parallel.parallel import preserve_parallel_config, set_parallel
from espnet3.systems.base.inference_fingerprint import with_test_set
from espnet3.systems.base.settings import InferenceSettings
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.settings import parse_settings

if TYPE_CHECKING:
    from espnet3.systems.base.inference_test_set import TestSet
    from espnet3.systems.base.inference_workers import Workforce

logger = logging.getLogger(__name__)

_LOCKED = "another run decodes this test set: wait until it has ended, or end it"


def infer(config: DictConfig) -> None:
    """Decode the test sets of an inference configuration.

    Writes ``<inference_dir>/<test set>/<field>.scp`` with one line per sample, in the order of
    the data set, and files for values that no line can hold. A test set whose finished outputs
    depend on exactly what they would depend on now is left alone, unless ``runner.resume`` is
    false.

    Args:
        config: Resolved inference.yaml. It is not changed.

    Raises:
        ConfigError: If a setting is missing or wrong; nothing has been built then.
        InferenceError: If a test set is empty or its runner returns nothing.
        Exception: What the data set, the model or the output function raises, with notes that
            name test set and sample.
    """
    started = time.perf_counter()
    from espnet3.systems.base.inference_checks import check_before_building
    from espnet3.systems.base.inference_workers import Workforce

    with preserve_parallel_config():
        set_parallel(config.get("parallel"))
        settings = parse_settings(config, InferenceSettings, key="")
        names = settings.test_names()
        check_before_building(to_plain(config))
        logger.info("Inference: inference_dir=%s test_sets=%s", settings.inference_dir, names)
        with Workforce(settings.execution) as workforce:
            for name in names:
                _infer_test_set(config, settings, name, workforce)
    logger.info("Inference finished: seconds=%.1f", time.perf_counter() - started)


def _infer_test_set(
    config: DictConfig, settings: InferenceSettings, name: str, workforce: Workforce
) -> None:
    from espnet3.systems.base.inference_run import decode_test_set
    from espnet3.systems.base.inference_state import STATE_DIR
    from espnet3.systems.base.inference_trial import show_trial

    try:
        test_set = prepare_test_set(config, settings, name)
        if settings.execution.dry_run:
            show_trial(test_set, settings)
        elif not _is_up_to_date(test_set, settings):
            lock = test_set.folder / STATE_DIR / "lock"
            with file_lock(lock, timeout=0, advice=_LOCKED):
                decode_test_set(test_set, settings, workforce)
    except Exception as error:
        error.add_note(f"in test set {name!r}")
        raise


def _is_up_to_date(test_set: TestSet, settings: InferenceSettings) -> bool:
    """Tell whether the outputs are those that decoding would give; say why if not."""
    from espnet3.systems.base.inference_state import FinishedRun, restore

    earlier = FinishedRun.load_reusable(test_set.folder)
    if earlier is None or not settings.reuses_finished_run:
        return False
    changes = earlier.find_changes(test_set.folder, test_set.parts)
    if not changes and earlier.num_failed:
        logger.info(
            "Test set %s: %d samples failed last time and are tried again",
            test_set.name,
            earlier.num_failed,
        )
        return False
    if changes:
        logger.info("Test set %s: decoded again, because of %s", test_set.name, ", ".join(changes))
        return False
    missing = earlier.lacks(settings.execution.limit)
    if missing:
        logger.info("Test set %s: %d samples are not decoded yet", test_set.name, missing)
        return False
    restore(test_set.folder)
    logger.info(
        "Test set %s: up to date (%d samples, same model, configuration and data); "
        "`runner.resume: false` decodes it again",
        test_set.name,
        earlier.num_samples - earlier.num_left,
    )
    return True


def prepare_test_set(config: DictConfig, settings: InferenceSettings, name: str) -> TestSet:
    """Return a test set of an inference configuration, without its model.

    Raises:
        InferenceError: If it is empty.
    """
    from espnet3.systems.base.inference_fingerprint import fingerprint_parts
    from espnet3.systems.base.inference_provider import InferenceProvider
    from espnet3.systems.base.inference_test_set import TestSet

    own_config = with_test_set(config, name)
    params = dict(to_plain((settings.provider or {}).get("params")) or {})
    params["input_key"] = settings.input_key
    if settings.output_fn:
        params["output_fn_path"] = settings.output_fn
    provider = instantiate_config(
        settings.provider or {},
        key="provider",
        recursive=False,
        inference_config=own_config,
        params=params,
    )
    runner = _build_runner(settings, provider)
    if isinstance(provider, InferenceProvider):
        dataset = provider.local_dataset()
    else:
        dataset = provider.build_dataset(own_config)
    num_samples = len(dataset)
    if num_samples == 0:
        raise InferenceError(f"test set {name!r} is empty")
    return TestSet(
        name=name,
        folder=settings.inference_dir / name,
        num_samples=num_samples,
        parts=fingerprint_parts(to_plain(own_config), num_samples=num_samples),
        dataset=dataset,
        provider=provider,
        runner=runner,
    )


def _build_runner(settings: InferenceSettings, provider: Any) -> Any:
    runner = instantiate_config(
        settings.runner or {},
        key="runner",
        provider=provider,
        async_mode=False,
        idx_key=settings.idx_key or "utt_id",
        hyp_key=settings.output_fields(),
        ref_key=[],
        batch_size=settings.batch_size,
    )
    if not all(hasattr(runner, name) for name in ("idx_key", "resolve_idx_key")):
        raise TypeError(
            f"runner: {type(runner).__name__} must provide inference runner attributes "
            "`idx_key` and `resolve_idx_key`; derive it from InferenceRunner"
        )
    return runner
