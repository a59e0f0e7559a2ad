"""What the model card of one bundle says."""

from __future__ import annotations

import datetime
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import espnet3
from espnet3.publication import bundle, model_card, scrub
from espnet3.publication.model_summary import summary_section
from espnet3.publication.needed_extras import extras_of_bundle
from espnet3.publication.pack_inputs import read_value
from espnet3.publication.pack_plan import PackPlan
from espnet3.publication.path_rewrite import Relocator
from espnet3.publication.scores import read_intervals, read_scores, results_table
from espnet3.utils.package_requirements import install_command
from espnet3.utils.placeholders import is_placeholder


def render_card(
    plan: PackPlan,
    relocator: Relocator,
    facts: Mapping[str, Any],
    meta: bundle.BundleMeta,
    root: Path,
) -> str:
    """Return the README of a bundle.

    Args:
        plan: What is packed.
        relocator: How paths are rewritten.
        facts: ``git`` (``head``, ``dirty``) and ``creator``.
        meta: What ``meta.yaml`` says.
        root: Folder of the bundle.

    Raises:
        FileNotFoundError: If the configured template does not exist.
        ConfigError: If its front matter is not YAML.
    """
    inputs = plan.inputs
    scores = read_scores(plan.scores)
    exp_dir = relocator.destination(inputs.exp_dir) if inputs.exp_dir is not None else None
    created = datetime.datetime.fromtimestamp(bundle.build_time(), datetime.UTC)
    hf_repo = None if is_placeholder(inputs.upload.hf_repo) else inputs.upload.hf_repo
    values: dict[str, Any] = {
        "hf_repo": hf_repo,
        "system": inputs.system_name,
        "recipe": _recipe_name(plan),
        "creator": facts["creator"],
        "pack_name": inputs.out_dir.name,
        "title": (hf_repo or inputs.out_dir.name).rpartition("/")[2],
        "pack_strategy": plan.strategy,
        "exp_dir": exp_dir,
        "created_at": created.isoformat(timespec="seconds"),
        "git_head": facts["git"].get("head"),
        "git_dirty": facts["git"].get("dirty"),
        "train_config": _training_config_text(plan, relocator),
        "results_section": results_table(scores, read_intervals(plan.scores)),
        "framework_version": espnet3.__version__,
        "python_version": platform.python_version(),
        "torch_version": bundle.installed_version("torch"),
        "task": inputs.task,
        "trust_note": _trust_note(meta),
        "model_summary_section": _model_summary(plan, root, meta),
        **(inputs.settings.readme_context or {}),
    }
    needs_trust = bool(meta.trust["requires_user_code"])
    usage = _install_snippet(root) + _usage_snippet(values, needs_trust=needs_trust)
    usage += _espnet2_snippet(plan, values, meta)
    values.setdefault("usage_snippet", usage)
    values.setdefault("front_matter", model_card.front_matter(values, scores))
    template = model_card.find_template(inputs.settings.readme_template, inputs.recipe_root)
    card = scrub.redact_text(model_card.render(template, values))
    model_card.check_front_matter(card)
    return card


def _model_summary(plan: PackPlan, root: Path, meta: bundle.BundleMeta) -> str:
    if not plan.inputs.settings.include_model_summary:
        return ""
    trained = plan.inputs.read("training", "model._target_")
    model_class = trained or plan.inputs.read("inference", "model._target_") or ""
    return summary_section(str(model_class), root, {"files": meta.files, "weights": meta.weights})


def _recipe_name(plan: PackPlan) -> str:
    named = plan.inputs.read("training", "recipe")
    if named:
        return str(named)
    script = Path(sys.argv[0]) if sys.argv and sys.argv[0] else None
    for place in (plan.inputs.recipe_root, script.absolute().parent if script else None):
        parts = place.parts if place is not None else ()
        if "egs3" in parts:
            return "/".join(parts[parts.index("egs3") + 1 :][:2])
    return ""


def _training_config_text(plan: PackPlan, relocator: Relocator) -> str:
    config = plan.inputs.configs["training"]
    content = read_value(OmegaConf.create({"config": config}), "config")
    if content is None:
        content = OmegaConf.to_container(config, resolve=False)
    return bundle.dump_yaml(scrub.redact(relocator.rewrite_config(content))).rstrip("\n")


def _install_snippet(root: Path) -> str:
    extras = extras_of_bundle(root)
    return f"```bash\n{install_command(extras)}\n```\n\n" if extras else ""


def _usage_snippet(values: Mapping[str, Any], *, needs_trust: bool) -> str:
    name = values.get("hf_repo") or values["pack_name"]
    trust = ", trust_user_code=True" if needs_trust else ""
    return (
        "```python\n"
        "from espnet3.publication import InferenceSession\n\n"
        f'session = InferenceSession.from_pretrained("{name}"{trust})\n'
        "result = session(waveform)  # float32 array, shape (samples,)\n"
        "```"
    )


def _espnet2_snippet(plan: PackPlan, values: Mapping[str, Any], meta: bundle.BundleMeta) -> str:
    """Return how ESPnet2 itself loads the model, with the options that ``infer`` decodes with."""
    model = plan.inputs.read("inference", "model") or {}
    module, _, name = str(model.get("_target_", "")).rpartition(".")
    if plan.strategy != "espnet2" or not module.startswith("espnet2."):
        return ""
    dropped = {"device", *meta.files, *meta.yaml_files}
    options = {k: v for k, v in model.items() if k not in dropped and not k.startswith("_")}
    tag = values.get("hf_repo") or f"{values['pack_name']}.zip"
    arguments = ", ".join([f'"{tag}"', *(f"{k}={v!r}" for k, v in options.items())])
    return (
        "\n\nWith ESPnet2 itself, which reads no decoding options from a bundle:\n\n"
        f"```python\nfrom {module} import {name}\n\n"
        f"model = {name}.from_pretrained({arguments})\n```"
    )


def _trust_note(meta: bundle.BundleMeta) -> str:
    targets = meta.trust["targets"]
    if not targets:
        return "No code of this bundle is run to load it."
    return "Loading runs code of this bundle: " + ", ".join(f"`{name}`" for name in targets) + "."
