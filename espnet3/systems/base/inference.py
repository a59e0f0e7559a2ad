"""The ``infer`` stage: decode test sets and write what comes out."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.errors import InferenceError
from espnet3.parallel.parallel import preserve_parallel_config, set_parallel
from espnet3.systems.base.settings import InferenceSettings
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.settings import parse_settings

logger = logging.getLogger(__name__)


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

    with preserve_parallel_config():
        set_parallel(config.get("parallel"))
        settings = parse_settings(config, InferenceSettings, key="")
        names = settings.test_names()
        check_before_building(to_plain(config))
        logger.info("Inference: inference_dir=%s test_sets=%s", settings.inference_dir, names)
        for name in names:
            _infer_test_set(config, settings, name)
    logger.info("Inference finished: seconds=%.1f", time.perf_counter() - started)


@dataclass(frozen=True, kw_only=True)
class _TestSet:
    """One test set on its way to disk."""

    name: str
    folder: Path
    num_samples: int
    parts: Mapping[str, str]
    """Digests of what the outputs depend on."""
    sample_rate: float | None
    """Samples per second of its audio, where the data set tells."""
    runner: Any


def _infer_test_set(config: DictConfig, settings: InferenceSettings, name: str) -> None:
    try:
        test_set = _prepare(config, settings, name)
        if not _is_up_to_date(test_set, settings):
            _decode(test_set, settings)
    except Exception as error:
        error.add_note(f"in test set {name!r}")
        raise


def _is_up_to_date(test_set: _TestSet, settings: InferenceSettings) -> bool:
    """Tell whether the outputs are those that decoding would give; say why if not."""
    from espnet3.systems.base.inference_state import FinishedRun

    earlier = FinishedRun.load(test_set.folder)
    if earlier is None or not settings.reuses_finished_run:
        return False
    changes = earlier.find_changes(test_set.folder, test_set.parts)
    if changes:
        logger.info("Test set %s: decoded again, because of %s", test_set.name, ", ".join(changes))
        return False
    logger.info(
        "Test set %s: up to date (%d samples, same model, configuration and data); "
        "`runner.resume: false` decodes it again",
        test_set.name,
        earlier.num_samples,
    )
    return True


def _prepare(config: DictConfig, settings: InferenceSettings, name: str) -> _TestSet:
    from espnet3.systems.base.inference_fingerprint import fingerprint_parts
    from espnet3.systems.base.inference_progress import find_sample_rate
    from espnet3.systems.base.inference_provider import InferenceProvider

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
    return _TestSet(
        name=name,
        folder=settings.inference_dir / name,
        num_samples=num_samples,
        parts=fingerprint_parts(to_plain(own_config), num_samples=num_samples),
        sample_rate=find_sample_rate(dataset),
        runner=runner,
    )


def with_test_set(config: DictConfig, name: str) -> DictConfig:
    """Return a copy of an inference configuration that names the test set to decode."""
    own = copy.deepcopy(config)
    OmegaConf.set_readonly(own, False)
    OmegaConf.set_struct(own, False)
    own["test_set"] = name
    return own


def _build_runner(settings: InferenceSettings, provider: Any) -> Any:
    runner = instantiate_config(
        settings.runner or {},
        key="runner",
        provider=provider,
        async_mode=False,
        idx_key=settings.idx_key or "utt_id",
        hyp_key=_output_fields(settings),
        ref_key=[],
        batch_size=settings.batch_size,
    )
    if not all(hasattr(runner, name) for name in ("idx_key", "resolve_idx_key")):
        raise TypeError(
            f"runner: {type(runner).__name__} must provide inference runner attributes "
            "`idx_key` and `resolve_idx_key`; derive it from InferenceRunner"
        )
    return runner


def _output_fields(settings: InferenceSettings) -> list[str]:
    keys = settings.output_keys or []
    return [keys] if isinstance(keys, str) else list(keys)


def _decode(test_set: _TestSet, settings: InferenceSettings) -> None:
    from espnet3.systems.base.inference_progress import AudioMeter, ProgressBar, use_meter
    from espnet3.systems.base.inference_state import FinishedRun, discard
    from espnet3.systems.base.inference_writer import InferenceWriter

    started = time.perf_counter()
    discard(test_set.folder)
    logger.info("Test set %s: samples=%d", test_set.name, test_set.num_samples)
    meter = AudioMeter(test_set.sample_rate)
    writer = InferenceWriter(
        test_set.folder,
        idx_key=test_set.runner.idx_key,
        fields=_output_fields(settings),
        artifacts=settings.output_artifacts,
    )
    with (
        writer,
        use_meter(meter),
        ProgressBar(test_set.name, test_set.num_samples, meter) as progress,
    ):
        for record in _iter_results(test_set):
            if writer.count == 0:
                test_set.runner.resolve_idx_key(record)
            writer.add(record)
            progress.advance()
        if writer.count == 0:
            raise InferenceError(f"the runner returned no result for test set {test_set.name!r}")
        writer.commit()
    seconds = time.perf_counter() - started
    if writer.count < test_set.num_samples:
        logger.warning("Only %d of %d samples have a result", writer.count, test_set.num_samples)
    run = FinishedRun.of(
        writer, num_samples=test_set.num_samples, seconds=seconds, parts=test_set.parts
    )
    run.save(test_set.folder)
    logger.info("Test set %s: %s", test_set.name, progress.summary(seconds))


def _iter_results(test_set: _TestSet) -> Iterator[Any]:
    """Yield flat records; one by one where the runner can, so that memory stays small."""
    from espnet3.components.inference.records import iter_records
    from espnet3.systems.base.inference_runner import InferenceRunner

    runner, indices = test_set.runner, list(range(test_set.num_samples))
    if isinstance(runner, InferenceRunner) and type(runner).__call__ is InferenceRunner.__call__:
        return runner.iter_results(indices)
    results = runner(indices)
    if results is None:
        raise InferenceError(
            "the runner returned None. Async inference is not supported by the infer stage"
        )
    return iter_records(results)
