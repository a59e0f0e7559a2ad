"""Which classes of ESPnet2 a bundle that nobody vouches for may name, and with which arguments."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from espnet3.publication.espnet2_parts import TOKEN_TYPES, UNCHECKED, Fault

_REFUSED_OPTIONS = {
    "ngram_file": "is read by a parser that was not written for files of strangers",
    "hugging_face_decoder": "downloads a model",
    "prompt_token_file": "belongs to models that are downloaded",
    "enh_s2t_task": "builds models of further tasks",
    "inference_config": "replaces parts of the model after they were checked",
}
_UNBOUNDED = {
    "asr_inference_k2": "unpickles a decoding graph",
    "gan_codec_inference": "builds models that espnet3 has not checked",
    "lm_inference": "reads an n-gram model with a parser not written for files of strangers",
    "ps2st_inference": "downloads a model",
    "slu_inference": "downloads models that others may change",
    "svs_inference": "downloads code with its features and runs it",
    "tts2_inference": "downloads a vocoder and reads its YAML unsafely",
    "tts_inference": "downloads a vocoder and reads its YAML unsafely",
    "uasr_inference": "unpickles what its training config names",
    "uasr_inference_k2": "unpickles a decoding graph",
}
"""Modules of ``espnet2.bin`` that cannot be on the list, and why."""

_SEARCH = (
    *("batch_size", "beam_size", "ctc_weight", "lm_weight", "maxlenratio", "minlenratio"),
    *("nbest", "normalize_length", "penalty"),
)
_PARTIAL = ("max_mask_parallel", "max_seq_len", "partial_ar", "threshold_probability")
_LIMITS = (
    *("decoder_text_length_limit", "disable_repetition_detection", "encoded_feat_length_limit"),
)
_WORDS = {
    "device": re.compile(r"cpu|mps|cuda(:\d+)?"),
    "dtype": re.compile("bfloat16|float(16|32|64)"),
    "token_type": re.compile("|".join(TOKEN_TYPES)),
}
_HYDRA = frozenset({"_target_", "_convert_", "_recursive_"})
_YAML = (".yaml", ".yml")
_WEIGHTS = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A class whose arguments and training configs can be checked.

    Args:
        builds: Class of ESPnet2 that it makes: itself, where that is one.
        configs: Argument that names a training config → task of that config. The first is needed:
            without it ESPnet2 takes a file that nobody named.
        weights: Arguments that name weight files.
        plain: Arguments that are numbers.
        nested: Arguments that are mappings of plain values.
    """

    builds: str
    configs: Mapping[str, str]
    weights: tuple[str, ...] = ("asr_model_file", "lm_file")
    plain: tuple[str, ...]
    nested: tuple[str, ...] = ()


_ASR = {"asr_train_config": "asr", "lm_train_config": "lm"}
_TRANSDUCER = "espnet2.bin.asr_transducer_inference.Speech2Text"
_TRANSDUCERS = {"asr_train_config": "asr_transducer", "lm_train_config": "lm"}

BACKENDS: Mapping[str, Backend] = {
    "espnet2.bin.asr_inference.Speech2Text": Backend(
        builds="espnet2.bin.asr_inference.Speech2Text",
        configs=_ASR,
        plain=(*_SEARCH, *_PARTIAL, "multi_asr", "ngram_weight", "streaming", "time_sync"),
        nested=("transducer_conf",),
    ),
    "espnet2.bin.asr_inference_streaming.Speech2TextStreaming": Backend(
        builds="espnet2.bin.asr_inference_streaming.Speech2TextStreaming",
        configs=_ASR,
        plain=(*_SEARCH, *_LIMITS),
    ),
    "espnet2.bin.asr_inference_maskctc.Speech2Text": Backend(
        builds="espnet2.bin.asr_inference_maskctc.Speech2Text",
        configs={"asr_train_config": "asr"},
        weights=("asr_model_file",),
        plain=("batch_size", "maskctc_n_iterations", "maskctc_threshold_probability"),
    ),
    _TRANSDUCER: Backend(
        builds=_TRANSDUCER,
        configs=_TRANSDUCERS,
        plain=("beam_size", "decoding_window", "left_context", "lm_weight", "nbest", "streaming"),
        nested=("beam_search_config",),
    ),
    "espnet3.systems.asr.transducer_recognizer.TransducerRecognizer": Backend(
        builds=_TRANSDUCER,
        configs={"asr_train_config": "asr_transducer"},
        weights=("asr_model_file",),
        plain=("beam_size", "nbest"),
        nested=("beam_search_config",),
    ),
}
"""Classes that an untrusted bundle may name for its model."""


def find_backend(model: Any) -> Backend | None:
    """Return what is known of the class of a ``model`` section, if it is on the list."""
    target = model.get("_target_") if isinstance(model, Mapping) else None
    return BACKENDS.get(target) if isinstance(target, str) else None


def why_unlisted(target: str) -> str:
    """Say why a class of ESPnet2 is not on the list."""
    module = target.rpartition(".")[0].rpartition(".")[2]
    reason = _UNBOUNDED.get(module, "builds what nobody has checked")
    return f"is not on the list of ESPnet2's classes that a bundle may name: it {reason}"


def argument_faults(backend: Backend, model: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the arguments of a back end that an untrusted bundle may not give it."""
    needed = next(iter(backend.configs))
    if not model.get(needed):
        yield f"model.{needed}", None, "must name a training config in the bundle"
    for name, value in model.items():
        # What is off or empty asks for nothing.
        if name in _HYDRA or not value:
            continue
        reason = _judge_argument(backend, name, value)
        if reason is not None:
            yield f"model.{name}", value, reason


def _judge_argument(backend: Backend, name: str, value: Any) -> str | None:
    if name in backend.configs or name in backend.weights:
        suffixes = _YAML if name in backend.configs else _WEIGHTS
        is_fine = isinstance(value, str) and value.endswith(suffixes)
        return None if is_fine else "must name a file " + " or ".join(suffixes)
    if name in _WORDS:
        is_fine = isinstance(value, str) and _WORDS[name].fullmatch(value) is not None
    elif name == "bpemodel":
        is_fine = isinstance(value, str)
    elif name in backend.nested:
        is_fine = isinstance(value, Mapping) and all(map(_is_plain, value.items()))
    else:
        is_fine = name in backend.plain and isinstance(value, int | float)
    return None if is_fine else _REFUSED_OPTIONS.get(name, UNCHECKED)


def _is_plain(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    is_word = isinstance(value, str) and value.replace("_", "").isalnum()
    return not str(name).startswith("_") and (
        is_word or value is None or isinstance(value, int | float)
    )


@contextlib.contextmanager
def no_nltk_downloads() -> Iterator[None]:
    """Keep g2p_en, which ESPnet2 imports, from downloading data for NLTK while it is imported."""
    try:
        nltk: Any = importlib.import_module("nltk")
    except ImportError:
        yield
        return
    before = nltk.download
    nltk.download = lambda *_args, **_options: False
    try:
        yield
    finally:
        nltk.download = before
