"""Read from the installed ESPnet2 what ``espnet3/utils/espnet2_table.json`` says about it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import espnet2
from espnet2.asr.ctc import CTC
from espnet2.asr.decoder.rnn_decoder import RNNDecoder, build_attention_list
from espnet2.asr_transducer.activation import get_activation
from espnet2.asr_transducer.encoder import building, validation
from espnet2.asr_transducer.encoder.encoder import Encoder
from espnet2.asr_transducer.espnet_transducer_model import ESPnetASRTransducerModel
from espnet2.asr_transducer.joint_network import JointNetwork
from espnet2.bin import asr_inference, asr_transducer_inference
from espnet2.layers.augmentation import effects_dict
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.asr_transducer import ASRTransducerTask

TASKS = {ASRTask: {"ctc": CTC, "joint_net": JointNetwork}}
TASKS[ASRTransducerTask] = {
    "model": ESPnetASRTransducerModel,
    "encoder": Encoder,
    "joint_network": JointNetwork,
}
BACK_ENDS = (asr_inference.Speech2Text, asr_transducer_inference.Speech2Text)
DEFINITIONS = (ast.ClassDef, ast.FunctionDef)
BLOCKS = ("branchformer", "conformer", "conv1d", "ebranchformer")


def build_table() -> dict[str, Any]:
    """Return the content of the file."""
    signatures = {path_of(cls): read_signature(cls) for cls in (*BACK_ENDS, build_attention_list)}
    tasks = {}
    for task, fixed in TASKS.items():
        defaults = task.get_default_config()
        parts: dict[str, Any] = {}
        for choices in task.class_choices_list:
            classes = {name: cls for name, cls in choices.classes.items() if cls is not None}
            signatures |= {path_of(cls): read_signature(cls) for cls in classes.values()}
            parts[choices.name] = {
                "default": defaults.get(choices.name),
                "classes": {name: path_of(cls) for name, cls in sorted(classes.items())},
            }
        signatures |= {path_of(cls): read_signature(cls) for cls in fixed.values()}
        sections = {f"{name}_conf": path_of(cls) for name, cls in sorted(fixed.items())}
        tasks[path_of(task)] = {
            "options": sorted(read_options(task) & set(defaults)),
            "parts": dict(sorted(parts.items())),
            "sections": sections,
        }
    signatures |= {path_of(f): read_signature(f) for f in effects_dict.values()}
    signatures |= {f"{building.__name__}.{k}": v for k, v in sorted(read_blocks().items())}
    return {
        "version": espnet2.__version__,
        "tasks": tasks,
        "nested": {
            path_of(RNNDecoder): {"att_conf": path_of(build_attention_list)},
            path_of(Encoder): {
                "main_conf": f"{building.__name__}.build_main_parameters",
                "input_conf": f"{building.__name__}.build_input_block",
                "body_conf": {name: f"{building.__name__}.build_{name}_block" for name in BLOCKS},
            },
        },
        "modules": read_modules(),
        "effects": {name: path_of(f) for name, f in sorted(effects_dict.items())},
        "signatures": dict(sorted(signatures.items())),
    }


def path_of(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def read_modules() -> dict[str, str]:
    """Return the public classes and functions of every module, as its source defines them."""
    root = Path(espnet2.__file__).parent
    modules = {}
    for file in sorted(root.rglob("*.py")):
        parts = ("espnet2", *file.relative_to(root).with_suffix("").parts)
        names = [n.name for n in ast.parse(file.read_text()).body if isinstance(n, DEFINITIONS)]
        module = ".".join(parts).removesuffix(".__init__")
        modules[module] = " ".join(name for name in names if not name.startswith("_"))
    return modules


def read_signature(function: Any) -> dict[str, Any]:
    """Return the names that may be given by keyword, and the ones that must."""
    target = function.__init__ if isinstance(function, type) else function
    parameters = list(inspect.signature(target).parameters.values())
    if isinstance(function, type):
        parameters = parameters[1:]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    rest = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
    if rest == ["activation_parameters"]:
        names += list(inspect.signature(get_activation).parameters)[1:]
        rest = []
    empty = inspect.Parameter.empty
    required = [p.name for p in parameters if p.name in names and p.default is empty]
    return {"parameters": names, "required": required, "takes_any": bool(rest)}


def read_blocks() -> dict[str, Any]:
    """Return what the parts of the transducers' encoder take out of their mappings."""
    entry = read_keys(building.build_input_block) | read_keys(validation.validate_input_block)
    table = {
        "build_main_parameters": read_signature(building.build_main_parameters),
        # The encoder works out `output_size` by itself.
        "build_input_block": as_signature(entry - {"output_size"}),
    }
    for name in BLOCKS:
        keys = read_keys(getattr(building, f"build_{name}_block")) - {"input_size"}
        table[f"build_{name}_block"] = as_signature(keys | {"block_type", "num_blocks"})
    return table


def as_signature(keys: set[str]) -> dict[str, Any]:
    return {"parameters": sorted(keys), "required": [], "takes_any": False}


def read_options(task: Any) -> set[str]:
    """Return the options that a task reads to build a model and to prepare its samples."""
    names = set()
    for function in (task.build_model, task.build_preprocess_fn):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "args":
                names.add(node.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node).startswith("getattr(args,"):
                names.add(ast.literal_eval(node.args[1]))
    return names


def read_keys(function: Any) -> set[str]:
    """Return the texts that a function takes out of its argument ``configuration``."""
    keys = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Subscript):
            owner, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            owner, key = node.func.value, node.args[0]
        else:
            continue
        if isinstance(owner, ast.Name) and owner.id == "configuration":
            keys.add(ast.literal_eval(key))
    return keys
