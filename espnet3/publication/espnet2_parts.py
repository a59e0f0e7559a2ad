"""What parts of ESPnet2 the training config of a bundle that nobody vouches for may choose.

ESPnet2 builds a model from names in the training config of a bundle, so a class is as harmless as
the parts that it lets a config choose. Lists of what is allowed hold parts whose sources neither
download, import what they are told, unpickle, compile nor run anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.publication.yaml_links import iter_strings

Fault = tuple[str, Any, str]
"""Key, value and why it is refused."""

_MODELS = {"avhubert", "beats", "hubert", "hubert_pretrain", "torchaudiohubert", "wav2vec2"}
_TRANSFORMERS = {"espnet_ssl", "hugging_face_transformers", "huggingface", "transformer_opt"}

REFUSED_KEYS = {
    "_partial_": "puts off construction until nobody checks it",
    "trust_remote_code": "lets a library download code and run it",
    "init_param": "reads further weight files, from anywhere",
    "w2v_url": "downloads a model and unpickles it",
    "hubert_url": "downloads a model and unpickles it",
    "avhubert_url": "downloads a model and unpickles it",
    "beats_ckpt_path": "unpickles another file",
    "use_adapter": "changes the model after its parts were checked",
}
"""Keys that an untrusted bundle may not set in what describes its model, and why."""
REFUSED_PARTS = {
    "s3prl": "downloads code with torch.hub and runs it",
    **dict.fromkeys(sorted(_MODELS), "downloads a model or unpickles another file"),
    **dict.fromkeys(sorted(_TRANSFORMERS), "downloads a model that others may change"),
    "whisper": "downloads a model",
    "whisper_en": "downloads a model",
    "whisper_multilingual": "downloads a model",
    "hugging_face": "downloads a tokenizer",
    "qwen2audio": "downloads a tokenizer",
    "asteroid": "downloads a model and unpickles it",
    "asteroid_frontend": "builds parts of another package",
    "fused": "builds further front ends, s3prl among them",
    "s4": "imports and calls what its options name",
    "rwkv": "compiles and loads C++",
    "longformer": "builds parts of another package",
}
"""Parts of ESPnet2 models that an untrusted bundle may not choose, and why."""
PART_KEYS = frozenset(
    {
        *("decoder", "encoder", "frontend", "frontend_type", "lm", "postencoder", "separator"),
        *("bpemodel", "token_type"),
    }
)

UNCHECKED = "is not among what espnet3 has checked of ESPnet2"

_FRONT = {
    "frontend": {"default", "sliding_window"},
    "specaug": {"specaug"},
    "normalize": {"global_mvn", "utterance_mvn"},
}
_ENCODERS = {
    *("branchformer", "conformer", "contextual_block_conformer", "contextual_block_transformer"),
    *("e_branchformer", "multiconv_conformer", "rnn", "transformer", "transformer_multispkr"),
    "vgg_rnn",
}
_DECODERS = {
    *("dynamic_conv", "dynamic_conv2d", "lightweight_conv", "lightweight_conv2d"),
    *("linear_decoder", "mlm", "rnn", "transducer", "transformer"),
}
TASK_PARTS: Mapping[str, Mapping[str, set[str]]] = {
    "asr": {
        **_FRONT,
        "model": {"espnet", "maskctc", "pit_espnet"},
        "preencoder": {"linear", "sinc"},
        "encoder": _ENCODERS,
        "postencoder": {"length_adaptor"},
        "decoder": _DECODERS,
    },
    "asr_transducer": {**_FRONT, "decoder": {"mega", "rnn", "stateless"}},
    "lm": {"lm": {"seq_rnn", "transformer"}, "model": {"lm", "lm_multitask"}},
}
"""Task → key of its training config → parts that it may choose."""
TOKEN_TYPES = ("bpe", "char", "phn", "word")
_FILES = ("bpemodel", "token_list")
_OTHER_PARTS = ("ctc", "encoder", "joint_net", "joint_network", "model")
"""Parts whose class is fixed."""
_ARRAYS = (".npy", ".npz")


def part_faults(document: Mapping[str, Any], task: str) -> Iterator[Fault]:
    """Yield the parts that a training config chooses and an untrusted one may not."""
    for name, allowed in TASK_PARTS[task].items():
        value = document.get(name)
        if value is not None and not (isinstance(value, str) and value in allowed):
            reason = REFUSED_PARTS.get(value, UNCHECKED) if isinstance(value, str) else UNCHECKED
            yield name, value, reason
    token_type = document.get("token_type")
    if token_type is not None and token_type not in TOKEN_TYPES:
        yield "token_type", token_type, REFUSED_PARTS.get(str(token_type), UNCHECKED)
    for key, text in iter_strings(document.get("normalize_conf"), "normalize_conf"):
        if key.endswith("_file") and not text.endswith(_ARRAYS):
            yield key, text, "must name a file " + " or ".join(_ARRAYS)


def used_texts(document: Mapping[str, Any], task: str) -> Iterator[tuple[str, str]]:
    """Yield key and text of what constructors get from a training config."""
    for name in (*_FILES, *(f"{part}_conf" for part in (*TASK_PARTS[task], *_OTHER_PARTS))):
        yield from iter_strings(document.get(name), name)
