"""Kinds of bundles that try to do harm and are refused."""

from __future__ import annotations

import io
import json
import pickle
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import yaml

BACKEND = "tests.unit.publication.backends.Echo"
SPEECH2TEXT = "espnet2.bin.asr_inference.Speech2Text"
ESPNET2_MODEL = {
    "token_list": ["<blank>", "<unk>", "one", "<sos/eos>"],
    "token_type": "word",
    "bpemodel": None,
    "init": None,
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"fs": 8000},
    "specaug": None,
    "normalize": None,
    "model": "espnet",
    "model_conf": {},
    "ctc_conf": {},
    "preencoder": None,
    "encoder": "transformer",
    "encoder_conf": {"output_size": 8, "attention_heads": 2, "num_blocks": 1},
    "postencoder": None,
    "decoder": "transformer",
    "decoder_conf": {"num_blocks": 1},
}
RECOGNIZER = "espnet3.systems.asr.recognizer.SpeechRecognizer"
ASR_MODEL = {
    "_target_": "espnet3.systems.asr.models.ASRModel",
    "token_list": "${recipe_dir}/tokens.txt",
    "frontend": {"type": "log_mel", "n_mels": 8},
    "encoder": {"type": "conformer", "output_size": 8, "num_blocks": 1, "attention_heads": 2,
                "linear_units": 8, "cnn_kernel": 3, "subsampling_channels": 4},
}  # fmt: skip


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One kind.

    Args:
        kind: What it is, for the table.
        does: What it tries.
        build: Writes the bundle into a folder; the payload creates the second path. May return
            what to load instead of the folder.
        error: Class of the refusal.
        says: What the message must name.
    """

    kind: str
    does: str
    build: Callable[[Path, Path], str | None]
    error: str
    says: str


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def write_bundle(root: Path, config: Any, **meta: Any) -> None:
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1, **meta})
    write(root / "conf" / "inference.yaml", config)


def target(name: str, **arguments: Any) -> Callable[[Path, Path], None]:
    def build(root: Path, trace: Path) -> None:
        model = {"_target_": name, "command": f"touch {trace}", **arguments}
        write_bundle(root, {"model": model})

    return build


def config(make: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    """Build a bundle around a target that would leave the trace."""

    def build(root: Path, trace: Path) -> None:
        evil = {"_target_": "os.system", "command": f"touch {trace}"}
        write_bundle(root, make(evil))

    return build


def text(content: str) -> Callable[[Path, Path], None]:
    return lambda root, trace: write_bundle(root, content.replace("TRACE", str(trace)))


def not_utf8(root: Path, trace: Path) -> None:
    write_bundle(root, {})
    write(root / "conf" / "inference.yaml", b"a: \xff\xfe")


def argument(value: str) -> Callable[[Path, Path], None]:
    """Build a bundle whose model gets a path; a secret lies beside the bundle."""

    def build(root: Path, trace: Path) -> None:
        write(root.parent / "secret.txt", "secret")
        model = {"_target_": BACKEND, "model_file": value}
        write_bundle(root, {"recipe_dir": ".", "model": model})

    return build


def named_file(name: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path], None]:
    def build(root: Path, trace: Path) -> None:
        write(root / name, content(trace))
        model = {"_target_": BACKEND, "stats_file": f"${{recipe_dir}}/{name}"}
        write_bundle(root, {"recipe_dir": ".", "model": model})

    return build


def recogniser(root: Path, model_file: str, training: dict[str, Any], **more: Any) -> None:
    """Write a bundle of our recogniser, without its weights."""
    write(root / "tokens.txt", "<blank>\n<unk>\none\n<sos/eos>\n")
    write(root / "train.yaml", {"recipe_dir": ".", **training})
    model = {
        "_target_": RECOGNIZER,
        "train_config": "${recipe_dir}/train.yaml",
        "model_file": f"${{recipe_dir}}/{model_file}",
        **more,
    }
    write_bundle(root, {"recipe_dir": ".", "model": model})


def checkpoint(name: str, content: bytes | None = None) -> Callable[[Path, Path], None]:
    """Build a bundle of our recogniser whose checkpoint is a pickle, or these bytes."""

    def build(root: Path, trace: Path) -> None:
        recogniser(root, name, {"model": ASR_MODEL})
        if content is None:
            torch.save({"state_dict": Payload(trace)}, root / name)
        else:
            write(root / name, content)

    return build


def pickled(trace: Path) -> bytes:
    return pickle.dumps(Payload(trace))


def array_of_objects(trace: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(trace)], dtype=object))
    return stream.getvalue()


def archive_of_objects(trace: Path) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, good=np.ones(2), bad=np.array([Payload(trace)], dtype=object))
    return stream.getvalue()


def promising_array(trace: Path) -> bytes:
    """Return the header of an array of terabytes, and a few bytes of it."""
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(64)


def zip_bomb(trace: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(80 * 2**20))
    return stream.getvalue()


def odd_names() -> bytes:
    content = {"w": torch.ones(1)}
    return safetensors.torch.save(content, metadata={"espnet3_aliases": '[{"a": "w"}]'})


def tar(*members: tarfile.TarInfo) -> Callable[[Path, Path], str]:
    def build(root: Path, trace: Path) -> str:
        root.mkdir()
        with tarfile.open(root / "model.tar", "w") as archive:
            for member in members:
                archive.addfile(member, io.BytesIO(b"x" * member.size))
        return str(root / "model.tar")

    return build


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def zipped(entries: dict[str, bytes], mode: int = 0) -> Callable[[Path, Path], str]:
    def build(root: Path, trace: Path) -> str:
        root.mkdir()
        with zipfile.ZipFile(root / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = mode << 16
                archive.writestr(info, content)
        return str(root / "model.zip")

    return build


def link_out(root: Path, trace: Path) -> None:
    argument("${recipe_dir}/weights.pth")(root, trace)
    (root / "weights.pth").symlink_to(root.parent / "secret.txt")


def registered(value: str) -> Callable[[Path, Path], None]:
    def build(root: Path, trace: Path) -> None:
        write(root.parent / "secret.txt", "secret")
        write_bundle(root, {"model": {"_target_": BACKEND}}, files={"model_file": value})

    return build


def user_code(reference: str, **meta: Any) -> Callable[[Path, Path], None]:
    def build(root: Path, trace: Path) -> None:
        code = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nclass Model: pass\n"
        for name in ("src/__init__.py", "src/model.py", "src/json.py", "json.py"):
            write(root / name, code)
        write_bundle(root, {"model": {"_target_": reference}}, **meta)

    return build


def training_config(
    model: dict[str, Any], target: str = RECOGNIZER, **rest: Any
) -> Callable[[Path, Path], None]:
    """Build a bundle whose packed training config says something evil; TRACE is the trace."""

    def build(root: Path, trace: Path) -> None:
        write(root.parent / "secret.txt", "<blank>\nsecret\n")
        content = json.dumps({"model": model, **rest}).replace("TRACE", str(trace))
        recogniser(root, "m.pth", json.loads(content), _target_=target)
        write(root / "m.pth", b"")

    return build


def espnet2(
    arguments: dict[str, Any] | None = None, target: str = SPEECH2TEXT, **training: Any
) -> Callable[[Path, Path], None]:
    """Build a bundle of a recogniser of ESPnet2; its training config and arguments as given."""

    def build(root: Path, trace: Path) -> None:
        write(root.parent / "secret.txt", "<blank>\nsecret\n")
        write(root / "tokens.txt", "<blank>\n<unk>\none\n<sos/eos>\n")
        write(root / "m.pth", b"")
        write(root / "config.yaml", {**ESPNET2_MODEL, **training})
        model = {
            "_target_": target,
            "asr_train_config": "${recipe_dir}/config.yaml",
            "asr_model_file": "${recipe_dir}/m.pth",
            **(arguments or {}),
        }
        write_bundle(root, {"recipe_dir": ".", "model": model})

    return build


def espnet2_part(key: str, name: str, does: str, says: str, **training: Any) -> Hostile:
    """Return a bundle that chooses a part of ESPnet2 which it may not."""
    options = "".join(f" with `{option}`" for option in training.values())
    return Hostile(kind=f"`{key}: {name}`{options} for a recogniser of ESPnet2", does=does,
                   build=espnet2(**{key: name, **training}), error=CODE, says=says)  # fmt: skip


def espnet2_option(key: str, value: Any, does: str, says: str) -> Hostile:
    """Return a bundle that gives a recogniser of ESPnet2 an argument that it may not."""
    return Hostile(kind=f"`model.{key}` of ESPnet2: `{value}`", does=does,
                   build=espnet2({key: value}), error=CODE, says=says)  # fmt: skip


def evil_collate(root: Path, trace: Path) -> None:
    collate = {"_target_": "os.system", "command": f"touch {trace}"}
    linear = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}
    training = {"model": linear, "dataloader": {"collate_fn": collate}}
    recogniser(root, "m.pth", training, _target_=TRAINED_MODEL)
    torch.save(torch.nn.Linear(1, 1).state_dict(), root / "m.pth")


def oversized(part: str = "encoder", **sizes: Any) -> Callable[[Path, Path], None]:
    """Build a bundle of small weights whose training config asks for far more."""

    def build(root: Path, trace: Path) -> None:
        model = {**ASR_MODEL, part: {**ASR_MODEL[part], **sizes}}  # type: ignore[dict-item]
        recogniser(root, "m.safetensors", {"model": model})
        write(root / "m.safetensors", safetensors.torch.save({"w": torch.ones(2)}))

    return build


def oversized_layer(**sizes: Any) -> Callable[[Path, Path], None]:
    return config(lambda evil: {"model": {"_target_": "torch.nn.Linear", **sizes}})


def long_chain_of_links() -> list[Any]:
    """Return members that climb out of the target where a check resolves links only so far."""
    folder, members, walked = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        members.append(member(walked + folder, tarfile.DIRTYPE))
        members.append(member(walked + letter, tarfile.SYMTYPE, folder))
        walked += f"{folder}/"
    steps = "/".join("abcdefghijklmnop")
    members.append(member(f"{steps}/{'l' * 254}", tarfile.SYMTYPE, "../" * 16))
    members.append(member("escape", tarfile.SYMTYPE, f"{steps}/{'l' * 254}/../../.."))
    return [*members, member("escape/trace")]


def manifest(entries: Any) -> Callable[[Path, Path], None]:
    def build(root: Path, trace: Path) -> None:
        write(root.parent / "secret.txt", "secret")
        write_bundle(root, {"model": {"_target_": BACKEND}})
        write(root / "manifest.json", entries if isinstance(entries, str) else json.dumps(entries))

    return build


def golden(value: Any, output: Any = None) -> Callable[[Path, Path], None]:
    """Build a bundle with one golden sample; TRACE in it is the trace."""

    def build(root: Path, trace: Path) -> None:
        write_bundle(root, {"model": {"_target_": BACKEND}})
        np.save(root.parent / "secret.npy", np.ones(1))
        sample = {"inputs": {"speech": value}, "output": output}
        content = {"tolerances": {"absolute": 0, "relative": 0}, "samples": [sample]}
        text = json.dumps(content).replace("TRACE", str(trace))
        write(root / "golden" / "golden.json", text)
        write(root / "golden" / "objects.npy", array_of_objects(trace))
        write(root / "golden" / "huge.npy", promising_array(trace))

    return build


def sparse(name: str, size: int) -> Callable[[Path, Path], None]:
    """Build a bundle with a file that is huge and takes no place."""

    def build(root: Path, trace: Path) -> None:
        write_bundle(root, {"model": {"_target_": BACKEND}})
        with write(root / name, b"[").open("r+b") as stream:
            stream.truncate(size)

    return build


def large_text(*parts: str) -> Callable[[Path, Path], None]:
    """Build a bundle whose training config names a token list of a GiB, also by its folder."""

    def build(root: Path, trace: Path) -> None:
        training: dict[str, Any] = {"model": ASR_MODEL}
        if parts:
            save_path = "/".join(("${recipe_dir}", *parts[:-1]))
            training["tokenizer"] = {"save_path": save_path, "model_type": "bpe", "vocab_size": 4}
        recogniser(root, "m.pth", training)
        with write(root.joinpath(*(parts or ("tokens.txt",))), b"x\n").open("r+b") as stream:
            stream.truncate(2**30)

    return build


def large_line(root: Path, trace: Path) -> None:
    write_bundle(root, {"model": {**NESTED, "x": "${load_line:${recipe_dir}/big.txt}"}})
    with write(root / "big.txt", b"x\n").open("r+b") as stream:
        stream.truncate(2**30)


def link_in_folder(root: Path, trace: Path) -> None:
    secret = write(root.parent / "secret.txt", "secret")
    tokenizer = {"save_path": "${recipe_dir}/data", "model_type": "bpe", "vocab_size": 4}
    recogniser(root, "m.pth", {"model": ASR_MODEL, "tokenizer": tokenizer})
    (root / "data").mkdir()
    (root / "data" / "bpe.model").symlink_to(secret)


def costly(part: str = "", **settings: Any) -> Callable[[Path, Path], None]:
    """Build a bundle of a small model that asks for endless work in every call."""

    def build(root: Path, trace: Path) -> None:
        model = {**ASR_MODEL, part: {**ASR_MODEL[part], **settings}} if part else ASR_MODEL
        recogniser(root, "m.pth", {"model": model}, **({} if part else settings))
        torch.save({"w": torch.ones(1)}, root / "m.pth")

    return build


def linked(name: str, content: Any) -> Callable[[Path, Path], None]:
    """Build a bundle one file of which is a link to a file outside."""

    def build(root: Path, trace: Path) -> None:
        write_bundle(root, {"model": {"_target_": BACKEND}})
        (root / name).unlink()
        (root / name).symlink_to(write(root.parent / "secret.yaml", content))

    return build


def included(root: Path, trace: Path) -> None:
    write(root / "conf" / "more.yaml", {"note": "${oc.env:HOME}"})
    write_bundle(root, {"defaults": ["more"], "model": {"_target_": BACKEND}})


def expanding(value: str) -> str:
    """Return nine keys, each of which uses the next one ten times, and a model with the first."""
    lines = [f"a{i}: {value.replace('NEXT', str(i + 1))}" for i in range(9)]
    return "\n".join([*lines, "a9: [x]", f"model: {{_target_: {BACKEND}, x: '${{a0}}'}}\n"])


def up_behind_link(root: Path, trace: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "flat").mkdir()
    (root / "deep" / "er" / "link").symlink_to("../../flat")
    argument("${recipe_dir}/deep/er/link/../../secret.txt")(root, trace)


def defaults_outside(root: Path, trace: Path) -> None:
    write(root.parent / "outside.yaml", {"model": {"_target_": "os.system"}})
    write_bundle(root, {"defaults": ["../../outside"], "model": {"_target_": BACKEND}})


BILLION = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
NESTED = {"_target_": BACKEND}
ESPNET2 = "espnet2.bin.asr_inference.Speech2Text"
TRANSDUCER = "espnet3.systems.asr.transducer_recognizer.TransducerRecognizer"
GLOBAL_MVN = "espnet3.components.layers.normalize.GlobalMVN"
TRAINED_MODEL = "espnet3.systems.base.trained_model.TrainedModel"
JINJA = "{{ cycler.__init__.__globals__.os.system('touch TRACE') }}"
TARGET, CODE, PICKLE = "UntrustedTargetError", "UntrustedCodeError", "UnsafeCheckpointError"
BUNDLE, CONFIG, ARCHIVE, WEIGHTS = "BundleError", "ConfigError", "ArchiveError", "WeightsError"

KINDS = [
    # What is built
    Hostile(kind="`_target_: os.system`", does="runs a command", build=target("os.system"),
            error=TARGET, says="os.system"),
    Hostile(kind="`_target_: subprocess.Popen`", does="starts a program",
            build=target("subprocess.Popen"), error=TARGET, says="subprocess.Popen"),
    Hostile(kind="`_target_: builtins.eval`", does="runs Python", build=target("builtins.eval"),
            error=TARGET, says="builtins.eval"),
    Hostile(kind="`_target_: functools.partial`", does="hides what is called",
            build=target("functools.partial", _args_=[{"_target_": "os.system"}]),
            error=TARGET, says="functools.partial"),
    Hostile(kind="`_target_: torch.hub.load`", does="downloads and runs code",
            build=target("torch.hub.load"), error=TARGET, says="torch.hub.load"),
    Hostile(kind="`_target_: torch.load`", does="unpickles a file", build=target("torch.load"),
            error=TARGET, says="torch.load"),
    Hostile(kind="`_target_: numpy.load`", does="unpickles a file", build=target("numpy.load"),
            error=TARGET, says="numpy.load"),
    Hostile(kind="`_target_: torch.nn.utils.rnn.torch.os.system`",
            does="reaches a function through a module with a good name",
            build=target("torch.nn.utils.rnn.torch.os.system"), error=TARGET,
            says="torch.nn.utils.rnn.torch.os.system"),
    Hostile(kind="`_target_: espnet3.utils.env_report.os.system`", does="the same, through ours",
            build=target("espnet3.utils.env_report.os.system"), error=TARGET, says="env_report"),
    Hostile(kind="`_target_: espnet3.utils.path_utils.write_text`",
            does="writes a file with a function of ours",
            build=target("espnet3.utils.path_utils.write_text"), error=TARGET, says="write_text"),
    Hostile(kind="`_target_: espnet3.utils.import_utils.import_object`",
            does="imports anything with a function of ours",
            build=target("espnet3.utils.import_utils.import_object"), error=TARGET,
            says="import_object"),
    Hostile(kind="`_target_: espnet3.publication.InferenceSession.from_pretrained`",
            does="loads another bundle, with trust",
            build=target("espnet3.publication.InferenceSession.from_pretrained"), error=TARGET,
            says="from_pretrained"),
    Hostile(kind="`_target_: espnet3.__main__.main`", does="starts a program of ours",
            build=target("espnet3.__main__.main"), error=TARGET, says="__main__"),
    Hostile(kind="`_target_: hydra.utils.instantiate`", does="builds things past our gate",
            build=target("hydra.utils.instantiate"), error=TARGET, says="hydra.utils"),
    Hostile(kind="`_target_: logging.config.dictConfig`", does="imports and calls what it is told",
            build=target("logging.config.dictConfig"), error=TARGET, says="dictConfig"),
    Hostile(kind="`_target_: torch.utils.cpp_extension.load`", does="compiles and loads C++",
            build=target("torch.utils.cpp_extension.load"), error=TARGET, says="cpp_extension"),
    Hostile(kind="`_target_: runpy.run_path`", does="runs a file", build=target("runpy.run_path"),
            error=TARGET, says="runpy"),
    Hostile(kind="`_target_: ….Echo.__init__.__globals__`", does="reaches the globals of a class",
            build=target(f"{BACKEND}.__init__.__globals__"), error=TARGET, says="__globals__"),
    Hostile(kind="`_target_: [os.system]`", does="poses as something else than a name",
            build=config(lambda evil: {"model": {**evil, "_target_": ["os.system"]}}),
            error=CONFIG, says="_target_"),
    Hostile(kind="`_target_: \"{{ cycler.__init__.__globals__.os.system('…') }}\"`",
            does="injects a template", build=target(JINJA), error=CONFIG,
            says="not a dotted import path"),
    Hostile(kind="`_target_` of a module that is not imported yet", does="runs its import",
            build=target("antigravity.fly"), error=TARGET, says="antigravity"),
    Hostile(kind="nested `_target_`", does="hides in an argument",
            build=config(lambda evil: {"model": {**NESTED, "inner": [{"deep": evil}]}}),
            error=TARGET, says="os.system"),
    Hostile(kind="`_args_`", does="hides in positional arguments",
            build=config(lambda evil: {"model": {**NESTED, "_args_": [evil]}}), error=TARGET,
            says="os.system"),
    Hostile(kind="`_recursive_: false`", does="hopes that nobody looks deeper",
            build=config(lambda evil: {"model": {**evil, "_recursive_": False}}), error=TARGET,
            says="os.system"),
    Hostile(kind="`_partial_: true`", does="puts construction off until nobody checks",
            build=config(lambda evil: {"model": {**NESTED, "_partial_": True}}), error=CODE,
            says="_partial_"),
    Hostile(kind="`_target_: ${name}`", does="hides the name in an interpolation",
            build=config(lambda evil: {"name": "os.system",
                                       "model": {**evil, "_target_": "${name}"}}),
            error=TARGET, says="os.system"),
    Hostile(kind="alias to a `_target_`", does="hides in a YAML alias",
            build=text("x: &evil {_target_: os.system, command: touch TRACE}\nmodel: *evil\n"),
            error=TARGET, says="os.system"),
    Hostile(kind="`provider._target_`", does="replaces what builds the model",
            build=config(lambda evil: {"model": NESTED, "provider": evil}), error=TARGET,
            says="os.system"),
    Hostile(kind="`output_fn: os.system`", does="runs on every result",
            build=config(lambda evil: {"model": NESTED, "output_fn": "os.system"}),
            error=TARGET, says="output_fn"),
    Hostile(kind="`_target_` in a packed `training.yaml`", does="hides one file further",
            build=training_config({"_target_": "os.system", "command": "touch TRACE"}),
            error=TARGET, says="os.system"),
    Hostile(kind="nested `_target_` in a packed `training.yaml`",
            does="hides in a part of the model",
            build=training_config({**ASR_MODEL, "specaug": {"_target_": "os.system",
                                                            "command": "touch TRACE"}}),
            error=TARGET, says="os.system"),
    Hostile(kind="`dataloader.collate_fn._target_` in a packed `training.yaml`",
            does="hides in what makes batches", build=evil_collate, error=TARGET,
            says="os.system"),
    Hostile(kind="`_target_` given twice", does="shows one name to the check and one to the reader",
            build=text(f"model:\n  _target_: {BACKEND}\n  _target_: os.system\n"
                       "  command: touch TRACE\n"),
            error=CONFIG, says="duplicate"),
    Hostile(kind="`<<: *evil`", does="hides in a YAML merge",
            build=text("x: &evil {_target_: os.system, command: touch TRACE}\n"
                       "model: {<<: *evil}\n"),
            error=TARGET, says="os.system"),
    Hostile(kind="`trust_remote_code: true`", does="lets a library download code",
            build=config(lambda evil: {"model": {**NESTED, "more": [{"trust_remote_code": True}]}}),
            error=CODE, says="trust_remote_code"),
    Hostile(kind="`trust_remote_code: true` in a packed `training.yaml`",
            does="hides one file further",
            build=training_config({**ASR_MODEL, "trust_remote_code": True}),
            error=CODE, says="trust_remote_code"),
    Hostile(kind="`frontend: s3prl` in a packed ESPnet2 config",
            does="downloads code and runs it",
            build=training_config("espnet", frontend="s3prl"), error=CODE, says="torch.hub"),
    Hostile(kind="`init_param` in a packed ESPnet2 config", does="unpickles another file",
            build=training_config("espnet", init_param=["/tmp/evil.pth"]),  # noqa: S108
            error=CODE, says="init_param"),
    # Recognisers of ESPnet2
    espnet2_part("frontend", "s3prl", "downloads code and runs it", "torch.hub"),
    espnet2_part("frontend", "whisper", "downloads a model", "downloads"),
    espnet2_part("frontend", "huggingface", "downloads a model", "downloads"),
    espnet2_part("frontend", "espnet_ssl", "downloads a model", "downloads"),
    espnet2_part("frontend", "fused", "hides `s3prl` in a list of front ends", "s3prl",
                 frontend_conf={"frontends": [{"frontend_type": "default"}]}),
    espnet2_part("encoder", "avhubert", "downloads and unpickles a model", "unpickles"),
    espnet2_part("encoder", "beats", "unpickles another file", "unpickles"),
    espnet2_part("encoder", "hubert", "downloads and unpickles a model", "unpickles"),
    espnet2_part("encoder", "wav2vec2", "downloads and unpickles a model", "unpickles"),
    espnet2_part("encoder", "torchaudiohubert", "builds what nobody checked", "encoder"),
    espnet2_part("encoder", "whisper", "downloads a model", "downloads"),
    espnet2_part("encoder", "new_in_2030", "is unknown to the list", "checked"),
    espnet2_part("decoder", "whisper", "downloads a model", "downloads"),
    espnet2_part("decoder", "hugging_face_transformers", "downloads a model", "downloads"),
    espnet2_part("decoder", "s4", "imports and calls what its options name", "imports"),
    espnet2_part("postencoder", "hugging_face_transformers", "downloads a model", "downloads"),
    espnet2_part("token_type", "hugging_face", "downloads a tokenizer", "tokenizer"),
    espnet2_part("token_type", "whisper_en", "downloads a tokenizer", "downloads"),
    espnet2_part("bpemodel", "whisper_multilingual", "downloads a tokenizer", "downloads"),
    espnet2_part("use_adapter", True, "changes the model after the checks", "use_adapter"),
    espnet2_part("init_param", ["/tmp/evil.pth"], "unpickles another file",  # noqa: S108
                 "init_param"),
    espnet2_part("bpemodel", "../secret.txt", "reads a tokenizer elsewhere",
                 "outside of the bundle"),
    espnet2_part("token_list", "../secret.txt", "leaks a file as symbols",
                 "outside of the bundle"),
    espnet2_part("token_list", "/etc/passwd", "leaks a file as symbols",
                 "outside of the bundle"),
    espnet2_part("normalize", "global_mvn", "reads statistics elsewhere", "outside of the bundle",
                 normalize_conf={"stats_file": "../secret.npz"}),
    espnet2_part("normalize", "global_mvn", "reads a file of another kind as statistics",
                 "stats_file", normalize_conf={"stats_file": "m.pth"}),
    espnet2_part("frontend", "default", "makes a part download something", "address",
                 frontend_conf={"window": "https://example.org/x"}),
    espnet2_option("ngram_file", "${recipe_dir}/m.pth", "feeds a native parser", "parser"),
    espnet2_option("hugging_face_decoder", True, "downloads a model", "downloads"),
    espnet2_option("enh_s2t_task", True, "builds models of other tasks", "further tasks"),
    espnet2_option("quantize_asr_model", True, "changes the model after the checks", "checked"),
    espnet2_option("token_type", "hugging_face", "downloads a tokenizer", "token_type"),
    espnet2_option("dtype", "hub", "reaches a module of torch", "dtype"),
    espnet2_option("transducer_conf", {"_target_": "os.system"}, "hides in a nested mapping",
                   "transducer_conf"),
    espnet2_option("_args_", ["/etc/passwd"], "hides in positional arguments", "_args_"),
    espnet2_option("asr_train_config", None, "makes ESPnet2 find a config by itself",
                   "training config"),
    espnet2_option("asr_train_config", "${recipe_dir}/tokens.txt",
                   "poses as something else than a config", "must name a file .yaml"),
    espnet2_option("asr_model_file", "${recipe_dir}/tokens.txt",
                   "poses as something else than weights", "must name a file .bin"),
    espnet2_option("lm_train_config", "${recipe_dir}/config.yaml",
                   "names a config of another task",
                   "what espnet3 has checked"),
    Hostile(kind="`lm: transformer_opt` beside a recogniser of ESPnet2",
            does="downloads a language model",
            build=espnet2({"lm_train_config": "${recipe_dir}/config.yaml"}, lm="transformer_opt",
                          model="lm"),
            error=CODE, says="downloads"),
    Hostile(kind="`rwkv` in a transducer of ESPnet2", does="compiles and loads C++",
            build=espnet2(target="espnet2.bin.asr_transducer_inference.Speech2Text",
                          decoder="rwkv"), error=CODE, says="compiles"),
    Hostile(kind="`rwkv` in our recogniser for transducers of ESPnet2", does="the same",
            build=espnet2(target="espnet3.systems.asr.transducer_recognizer.TransducerRecognizer",
                          decoder="rwkv"), error=CODE, says="compiles"),
    Hostile(kind="`_target_: espnet2.bin.tts_inference.Text2Speech`",
            does="downloads a vocoder", build=target("espnet2.bin.tts_inference.Text2Speech"),
            error=TARGET, says="trust_user_code=True"),
    Hostile(kind="`_target_: espnet2.tasks.asr.ASRTask.build_model`",
            does="builds a model past the checks",
            build=target("espnet2.tasks.asr.ASRTask.build_model"), error=TARGET, says="ASRTask"),
    Hostile(kind="a recogniser of ESPnet2 in an argument", does="hides from the checks",
            build=config(lambda evil: {"model": {**NESTED, "inner": {"_target_": SPEECH2TEXT}}}),
            error=TARGET, says="asr_inference"),
    Hostile(kind="a recogniser of ESPnet2 in a packed `training.yaml`",
            does="hides from the checks", build=training_config({"_target_": SPEECH2TEXT}),
            error=TARGET, says="asr_inference"),
    # Code of the bundle
    Hostile(kind="`src/` named in the config", does="runs code of the bundle",
            build=user_code("src.model.Model"), error=CODE, says="references bundled user code"),
    Hostile(kind="`src/json.py`, named `json.Model`", does="poses as the standard library",
            build=user_code("json.Model"), error=TARGET, says="json.Model"),
    Hostile(kind="`user_code_paths: [/tmp]`", does="imports from elsewhere",
            build=user_code("src.model.Model", user_code_paths=["/tmp"]), error=CODE,  # noqa: S108
            says="user_code_paths"),
    Hostile(kind="`user_code_paths: [../..]`", does="imports from above the bundle",
            build=user_code("src.model.Model", user_code_paths=["../.."]), error=CODE,
            says="user_code_paths"),
    # Resolvers and includes
    Hostile(kind="`${oc.env:HOME}`", does="reads the environment",
            build=config(lambda evil: {"model": {**NESTED, "x": "${oc.env:HOME}"}}),
            error=CODE, says="oc.env"),
    Hostile(kind="`${oc.decode:'${oc.env:HOME}'}`", does="the same, nested",
            build=config(lambda evil: {"model": {**NESTED, "x": "${oc.decode:'${oc.env:HOME}'}"}}),
            error=CODE, says="oc."),
    Hostile(kind="`\\${oc.env:HOME}`", does="comes alive in the next round of resolution",
            build=config(lambda evil: {"model": {**NESTED, "x": "\\${oc.env:HOME}"}}),
            error=CODE, says="escaped"),
    Hostile(kind="`${load_line:/etc/passwd}`", does="reads a file of the machine",
            build=config(lambda evil: {"model": {**NESTED, "x": "${load_line:/etc/passwd}"}}),
            error=CODE, says="/etc/passwd"),
    Hostile(kind="`${load_yaml:../../secret.yaml,key}`", does="reads a file above the bundle",
            build=config(lambda evil: {"model": {**NESTED,
                                                 "x": "${load_yaml:../../secret.yaml,key}"}}),
            error=CODE, says="outside of the bundle"),
    Hostile(kind="`defaults: [../../outside]`", does="includes a file above the bundle",
            build=defaults_outside, error=CODE, says="outside of the bundle"),
    Hostile(kind="resolver in an included file", does="hides one file further", build=included,
            error=CODE, says="oc.env"),
    # Paths
    Hostile(kind="absolute path", does="makes the model read a file of the machine",
            build=argument("/etc/hostname"), error=CODE, says="/etc/hostname"),
    Hostile(kind="`~` path", does="makes the model read from the home folder",
            build=argument("~/.netrc"), error=CODE, says="outside of the bundle"),
    Hostile(kind="`..` path", does="climbs out of the bundle",
            build=argument("${recipe_dir}/../secret.txt"), error=CODE,
            says="outside of the bundle"),
    Hostile(kind="`..` behind a link to a folder inside", does="climbs out while its name stays in",
            build=up_behind_link, error=CODE, says="outside of the bundle"),
    Hostile(kind="device file", does="never ends", build=argument("/dev/zero"), error=CODE,
            says="/dev/zero"),
    Hostile(kind="address", does="makes the model download something",
            build=argument("https://example.org/m.pth"), error=CODE, says="address"),
    Hostile(kind="link to a file outside", does="climbs out through a link", build=link_out,
            error=CODE, says="weights.pth"),
    Hostile(kind="`meta.yaml` with `../secret.txt`", does="registers a file outside",
            build=registered("../secret.txt"), error=BUNDLE, says="inside the bundle"),
    Hostile(kind="`meta.yaml` with `/etc/passwd`", does="registers a file of the machine",
            build=registered("/etc/passwd"), error=BUNDLE, says="inside the bundle"),
    Hostile(kind="token list outside, in a packed `training.yaml`", does="leaks a file as symbols",
            build=training_config({"_target_": "espnet3.systems.asr.models.ASRModel",
                                   "token_list": "../secret.txt"}, recipe_dir="."),
            error=CODE, says="outside of the bundle"),
    Hostile(kind="tokenizer outside, in a packed `training.yaml`", does="reads a model elsewhere",
            build=training_config(ASR_MODEL, tokenizer={"save_path": "../elsewhere"}),
            error=CODE, says="outside of the bundle"),
    Hostile(kind="`conf/inference.yaml` that is a link outside", does="shows a file of the machine",
            build=linked("conf/inference.yaml", {"model": {"_target_": "os.system"}}),
            error=BUNDLE, says="outside of the bundle"),
    Hostile(kind="link outside in the folder of the tokenizer", does="climbs out one level further",
            build=link_in_folder, error=CODE, says="holds a link"),
    # YAML
    Hostile(kind="`!!python/object/apply`", does="runs code while YAML is read",
            build=text("x: !!python/object/apply:os.system [touch TRACE]\n"), error=CONFIG,
            says="tag"),
    Hostile(kind="`!!python/name`", does="imports while YAML is read",
            build=text("x: !!python/name:os.system\n"), error=CONFIG, says="tag"),
    Hostile(kind="`!!binary`", does="passes checks of text", build=text("x: !!binary aGk=\n"),
            error=CONFIG, says="tag"),
    Hostile(kind="a billion laughs", does="expands to gigabytes", build=text(BILLION),
            error=CONFIG, says="expands"),
    Hostile(kind="a billion interpolations in texts", does="expands to gigabytes",
            build=text(expanding("'" + "${aNEXT}" * 10 + "'")), error=CONFIG, says="expands"),
    Hostile(kind="a billion interpolations in lists", does="expands to billions of values",
            build=text(expanding("[" + "'${..aNEXT}', " * 10 + "]")), error=CONFIG,
            says="expands"),
    Hostile(kind="a long text in a thousand places of one text", does="expands to gigabytes",
            build=config(lambda evil: {"long": "x" * 10**5,
                                       "model": {**NESTED, "x": "${.y}" * 10**3,
                                                 "y": "${..long}"}}),
            error=CONFIG, says="expands"),
    Hostile(kind="alias to itself", does="never ends", build=text("a: &a [*a]\n"), error=CONFIG,
            says="expands"),
    Hostile(kind="70 levels of lists", does="exhausts the stack",
            build=text("a: " + "[" * 70 + "]" * 70), error=CONFIG, says="deeper"),
    Hostile(kind="a number of 5000 digits", does="breaks the reader",
            build=text("a: " + "9" * 5000), error=CONFIG, says="not plain YAML"),
    Hostile(kind="`2001-99-99`", does="breaks the reader", build=text("a: 2001-99-99"),
            error=CONFIG, says="not plain YAML"),
    Hostile(kind="a text that is not UTF-8", does="breaks the reader", build=not_utf8,
            error=CONFIG, says="not plain YAML"),
    Hostile(kind="11 MiB of YAML", does="exhausts memory", build=text("#" * (11 * 2**20)),
            error=CONFIG, says="larger"),
    # Weights and data
    Hostile(kind="pickle in a `.pth`", does="runs code while weights are read",
            build=checkpoint("m.pth"), error=PICKLE, says="m.pth"),
    Hostile(kind="pickle in a `.ckpt`", does="the same", build=checkpoint("m.ckpt"), error=PICKLE,
            says="m.ckpt"),
    Hostile(kind="pickle named `.safetensors`", does="poses as a safe format",
            build=checkpoint("m.safetensors"), error=WEIGHTS, says="m.safetensors"),
    Hostile(kind="`.pkl`", does="runs code when it is read", build=named_file("x.pkl", pickled),
            error=PICKLE, says="unpickling"),
    Hostile(kind="`.joblib`", does="the same", build=named_file("x.joblib", pickled),
            error=PICKLE, says="unpickling"),
    Hostile(kind="`.npy` with objects", does="the same",
            build=named_file("x.npy", array_of_objects), error=PICKLE, says="unpickling"),
    Hostile(kind="`.npz` with objects", does="hides them among good arrays",
            build=named_file("x.npz", archive_of_objects), error=PICKLE, says="unpickling"),
    Hostile(kind="pickle named `.npy`", does="makes NumPy fall back to pickle",
            build=named_file("x.npy", pickled), error=PICKLE, says="unpickling"),
    Hostile(kind="`.npy` that promises terabytes", does="exhausts memory",
            build=named_file("x.npy", promising_array), error=PICKLE, says="promises"),
    Hostile(kind="`.npz` bomb", does="exhausts memory", build=named_file("x.npz", zip_bomb),
            error=PICKLE, says="expands"),
    Hostile(kind="`.pth` bomb", does="exhausts memory", build=named_file("x.pth", zip_bomb),
            error=PICKLE, says="expands"),
    Hostile(kind="`.safetensors` with a header of exabytes", does="exhausts memory",
            build=checkpoint("m.safetensors", b"\xff" * 7 + b"\x00{}"), error=WEIGHTS,
            says="m.safetensors"),
    Hostile(kind="`.safetensors` whose second names are no names", does="breaks the reader",
            build=checkpoint("m.safetensors", odd_names()), error=WEIGHTS, says="m.safetensors"),
    Hostile(kind="golden sample outside", does="reads a file above the bundle",
            build=golden({"file": "../secret.npy"}), error=BUNDLE, says="golden"),
    Hostile(kind="golden sample with objects", does="runs code when it is read",
            build=golden({"file": "golden/objects.npy"}), error=BUNDLE, says="golden"),
    Hostile(kind="golden sample that promises terabytes", does="exhausts memory",
            build=golden({"file": "golden/huge.npy"}), error=BUNDLE, says="golden"),
    Hostile(kind="`_target_` in the input of a golden sample", does="is built while verifying",
            build=golden({"_target_": "os.system", "command": "touch TRACE"}), error=BUNDLE,
            says="golden"),
    Hostile(kind="`_target_` in the output of a golden sample", does="is built while comparing",
            build=golden({"text": "hi"}, {"_target_": "os.system", "command": "touch TRACE"}),
            error=BUNDLE, says="does not give what was recorded"),
    Hostile(kind="`golden.json` of 100 MiB", does="exhausts memory",
            build=sparse("golden/golden.json", 100 * 2**20), error=BUNDLE, says="larger than"),
    Hostile(kind="`manifest.json` of 100 MiB", does="exhausts memory",
            build=sparse("manifest.json", 100 * 2**20), error=BUNDLE, says="larger than"),
    Hostile(kind="`manifest.json` of a hundred thousand brackets", does="exhausts the stack",
            build=manifest("[" * 100_000), error=BUNDLE, says="manifest"),
    Hostile(kind="`manifest.json` with `../secret.txt`", does="makes the loader read outside",
            build=manifest([{"path": "../secret.txt", "size": 1, "sha256": "0"}]), error=BUNDLE,
            says="manifest.json"),
    Hostile(kind="`manifest.json` that is none", does="breaks the check of files",
            build=manifest("{"), error=BUNDLE, says="manifest"),
    # Sizes
    Hostile(kind="`output_size: 200000` in a packed `training.yaml`", does="exhausts memory",
            build=oversized(output_size=200_000), error=BUNDLE, says="far larger"),
    Hostile(kind="`linear_units: 10**11` in a packed `training.yaml`", does="exhausts memory",
            build=oversized(linear_units=10**11), error=BUNDLE, says="far larger"),
    Hostile(kind="`num_blocks: 10**9` in a packed `training.yaml`", does="never ends",
            build=oversized(num_blocks=10**9), error=BUNDLE, says="far larger"),
    Hostile(kind="`subsampling_channels: 10**30` in a packed `training.yaml`",
            does="overflows numbers", build=oversized(subsampling_channels=10**30), error=BUNDLE,
            says="far larger"),
    Hostile(kind="`n_fft: 2**40` in a packed `training.yaml`", does="exhausts memory",
            build=oversized("frontend", n_fft=2**40), error=CONFIG, says="n_fft"),
    Hostile(kind="`n_mels: 10**10` in a packed `training.yaml`", does="exhausts memory",
            build=oversized("frontend", n_mels=10**10), error=BUNDLE, says="far larger"),
    Hostile(kind="`torch.nn.Linear` of 10**12 numbers", does="exhausts memory",
            build=oversized_layer(in_features=10**6, out_features=10**6), error=BUNDLE,
            says="far larger"),
    Hostile(kind="`GlobalMVN` of 10**12 features", does="exhausts memory, through NumPy",
            build=config(lambda evil: {"model": {"_target_": GLOBAL_MVN, "feat_dim": 10**12}}),
            error=BUNDLE, says="far larger"),
    Hostile(kind="`tokens.txt` of a GiB", does="exhausts memory", build=large_text(),
            error=BUNDLE, says="tokens.txt has 1073741824 bytes"),
    Hostile(kind="a GiB of text in the folder of the tokenizer", does="exhausts memory",
            build=large_text("data", "bpe.model"), error=BUNDLE, says="bpe.model has 1073741824"),
    Hostile(kind="`${load_line:big.txt}` of a GiB", does="exhausts memory",
            build=large_line, error=BUNDLE, says="big.txt has 1073741824 bytes"),
    # Work
    Hostile(kind="`beam_size: 10**9`", does="makes every call endless",
            build=costly(decode="ctc_prefix_beam", beam_size=10**9), error=CODE, says="beam_size"),
    Hostile(kind="`maxlenratio: 1e9` for ESPnet2", does="makes every call endless",
            build=costly(_target_=ESPNET2, maxlenratio=1e9), error=CODE, says="maxlenratio"),
    Hostile(kind="`maxlenratio: -1e9` for ESPnet2", does="the same, in tokens",
            build=costly(_target_=ESPNET2, maxlenratio=-1e9), error=CODE, says="maxlenratio"),
    Hostile(kind="`beam_search_config.nstep: 10**9`", does="hides it one level further",
            build=costly(_target_=TRANSDUCER, beam_search_config={"nstep": 10**9}), error=CODE,
            says="nstep"),
    Hostile(kind="`hop_length: 1` in a packed `training.yaml`",
            does="makes a frame of every sample", build=costly("frontend", hop_length=1),
            error=CODE, says="hop_length"),
    Hostile(kind="`fs: 10**12` in a packed `training.yaml`",
            does="blows audio up to terabytes", build=costly("frontend", fs=10**12), error=CODE,
            says="fs"),
    # Archives
    Hostile(kind="archive with `../x`", does="writes outside of the cache",
            build=tar(member("../x")), error=ARCHIVE, says="outside the target"),
    Hostile(kind="archive with `/tmp/x`", does="writes anywhere",
            build=tar(member("/tmp/x")), error=ARCHIVE, says="absolute"),  # noqa: S108
    Hostile(kind="archive with `C:\\x`", does="the same on Windows",
            build=zipped({"C:\\x": b"x"}), error=ARCHIVE, says="absolute"),
    Hostile(kind="archive with a link outside", does="writes through the link",
            build=tar(member("a", tarfile.SYMTYPE, "../.."), member("a/x")), error=ARCHIVE,
            says="outside the target"),
    Hostile(kind="archive with a chain of links longer than a path may be",
            does="fools a check that resolves links", build=tar(*long_chain_of_links()),
            error=ARCHIVE, says="through a link"),
    Hostile(kind="archive with a hard link outside", does="exposes a file of the machine",
            build=tar(member("a", tarfile.LNKTYPE, "../../secret")), error=ARCHIVE,
            says="outside the target"),
    Hostile(kind="archive with a device", does="makes a device file",
            build=tar(member("null", tarfile.CHRTYPE)), error=ARCHIVE, says="neither"),
    Hostile(kind="archive with a pipe", does="blocks the reader",
            build=tar(member("pipe", tarfile.FIFOTYPE)), error=ARCHIVE, says="neither"),
    Hostile(kind="archive with two names that differ in case", does="overwrites what was checked",
            build=tar(member("meta.yaml"), member("META.yaml")), error=ARCHIVE,
            says="one file on some systems"),
    Hostile(kind="archive with one name twice", does="replaces what was checked",
            build=tar(member("meta.yaml"), member("meta.yaml")), error=ARCHIVE, says="twice"),
    Hostile(kind="zip with a link", does="writes through the link",
            build=zipped({"a": b"/etc"}, mode=stat.S_IFLNK | 0o777), error=ARCHIVE,
            says="neither file nor folder"),
    Hostile(kind="zip bomb", does="fills the disk", build=zipped({"x": bytes(4 * 2**20)}),
            error=ARCHIVE, says="allowed are"),
    Hostile(kind="damaged archive", does="breaks the reader",
            build=lambda root, trace: str(write(root / "model.zip", b"PK\x03\x04junk")),
            error=ARCHIVE, says="cannot be unpacked"),
]  # fmt: skip
