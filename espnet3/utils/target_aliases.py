"""Classes of ESPnet2 that recipes name and that ours stand in for where ESPnet2 is absent."""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

logger = logging.getLogger(__name__)

ESPNET2_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "espnet2.train.collate_fn.CommonCollateFn": (
            "espnet3.components.data.collate.CommonCollateFn"
        ),
        "espnet2.train.preprocessor.CommonPreprocessor": (
            "espnet3.components.data.preprocessor.CommonPreprocessor"
        ),
        "espnet2.iterators.sequence_iter_factory.SequenceIterFactory": (
            "espnet3.components.data.iterators.SequenceIterFactory"
        ),
        "espnet2.samplers.build_batch_sampler.build_batch_sampler": (
            "espnet3.components.data.samplers.build_batch_sampler"
        ),
        "espnet2.schedulers.warmup_lr.WarmupLR": (
            "espnet3.components.optimizers.schedulers.WarmupLR"
        ),
        "espnet2.layers.global_mvn.GlobalMVN": "espnet3.components.layers.normalize.GlobalMVN",
        "espnet2.layers.utterance_mvn.UtteranceMVN": (
            "espnet3.components.layers.normalize.UtteranceMVN"
        ),
        "espnet2.asr.specaug.specaug.SpecAug": "espnet3.components.layers.specaug.SpecAug",
        "espnet2.asr.frontend.default.DefaultFrontend": (
            "espnet3.components.layers.frontend.LogMelFrontend"
        ),
        "espnet2.text.sentencepiece_tokenizer.SentencepiecesTokenizer": (
            "espnet3.components.text.tokenizers.SentencepiecesTokenizer"
        ),
        "espnet2.text.token_id_converter.TokenIDConverter": (
            "espnet3.components.text.token_id_converter.TokenIDConverter"
        ),
    }
)
"""Target of ESPnet2 → ours, which takes the same arguments and gives the same numbers."""


def resolve_alias(target: str) -> str:
    """Return :func:`serving_target` and log it where it is another."""
    ours = serving_target(target)
    if ours != target:
        _report(target, ours)
    return ours


def serving_target(target: str) -> str:
    """Return the target to use: ours for a class of ESPnet2 that is not installed."""
    ours = ESPNET2_ALIASES.get(target)
    return target if ours is None or is_espnet2_installed() else ours


def is_espnet2_installed() -> bool:
    """Tell whether ESPnet2 can be found, without importing it."""
    return importlib.util.find_spec("espnet2") is not None


def with_aliases(node: Any) -> Any:
    """Return plain containers in which each ``_target_`` went through :func:`resolve_alias`."""
    if isinstance(node, Mapping):
        return {
            name: resolve_alias(child)
            if name == "_target_" and isinstance(child, str)
            else with_aliases(child)
            for name, child in node.items()
        }
    if isinstance(node, list | tuple):
        return type(node)(map(with_aliases, node))
    return node


@functools.cache
def _report(target: str, ours: str) -> None:
    """Log a replacement, once per process."""
    logger.info("ESPnet2 is not installed: %s is served by %s", target, ours)
