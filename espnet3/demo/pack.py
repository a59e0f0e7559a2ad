"""Pack a demo into a folder that runs anywhere, and upload it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import espnet3
from espnet3.demo.pack_plan import INFER_CONFIG, DemoPlan, plan_demo
from espnet3.demo.pinning import pin_tag
from espnet3.demo.record import README_FILE, PackRecord
from espnet3.demo.requirements import installed_gradio, needs_of_model, pin_requirements
from espnet3.demo.resolve import DEMO_FILE, system_hook
from espnet3.demo.run_checks import check_page
from espnet3.demo.setup import APP_FILE, REQUIREMENTS_FILE, setup_demo_assets
from espnet3.demo.upload import plan_upload_demo
from espnet3.errors import ConfigError
from espnet3.publication import bundle, model_card, scrub
from espnet3.publication.upload import Upload, send
from espnet3.utils import publish_utils
from espnet3.utils.path_utils import write_text

logger = logging.getLogger(__name__)

README_TEMPLATE = "demo_readme.md"


def pack_demo(system: Any) -> Path:
    """Write the folder of a demo: configuration, model, program, requirements and README.

    What an earlier packing wrote there is replaced; other files stay, also an edited README.

    Args:
        system: Object with ``demo_config``, and optionally ``demo_config_path``, ``exp_dir`` and
            ``publication_config``.

    Returns:
        The folder, as it is configured.

    Raises:
        MissingConfigError: If there is no configuration, or it names no model.
        MissingFileError: If a file that it names does not exist; a ``FileNotFoundError``.
        ConfigError: If a setting is wrong.
        HubError: If a model on the Hub cannot be pinned to a commit.
    """
    plan = plan_demo(system)
    plan.selection.report_unused("demo_config.pack.exclude")
    _check_provider(plan)
    for error in check_page(plan.demo_config):
        raise error
    if plan.hub_tag:
        plan.demo_config["model"]["dir_or_tag"] = pin_tag(plan.hub_tag)
    folder = plan.out_dir
    with PackRecord(folder, is_linked=not plan.settings.pack.copy) as record:
        for name, source in plan.copies.items():
            record.copy(source, name)
        setup_demo_assets(
            demo_dir=folder, demo_config=plan.demo_config, requirements=_requirements(plan)
        )
        record.add(APP_FILE, REQUIREMENTS_FILE)
        if plan.infer_config is not None:
            record.write(INFER_CONFIG, bundle.dump_yaml(plan.infer_config))
        record.write(DEMO_FILE, bundle.dump_yaml(plan.demo_config))
        if not (folder / README_FILE).exists():
            write_text(folder / README_FILE, _render_readme(plan, system))
    logger.info("packed demo: %s files=%d", folder, len(record.files))
    return folder


def upload_demo(system: Any) -> None:
    """Try out a packed demo and upload it to the Hugging Face Hub.

    Args:
        system: Object with ``demo_config``, and optionally ``exp_dir``.

    Raises:
        MissingConfigError: If the configuration, ``upload_demo`` or its target is absent.
        ConfigError: If a setting is wrong, or the Hub could not read the README.
        BundleError: If there is no packed demo, it holds a secret, or it does not answer.
        HubError: If the Hub cannot be reached, nobody is logged in, or it refuses.
    """
    plan = plan_upload_demo(system)
    plan.check_contents()
    if plan.settings.try_out and not plan.settings.dry_run:
        from espnet3.demo.trial import try_out

        # Starting a demo takes long; who may not send it hears so at once.
        Upload(plan.upload, publish_utils.HfApi()).check()
        try_out(plan.folder)
    send(plan.upload, publish_utils.HfApi)


def _check_provider(plan: DemoPlan) -> None:
    """Raise unless something says how the model of an inference configuration is built."""
    config, infer_config = plan.demo_config, plan.infer_config or {}
    named = (config.get("inference") or {}).get("provider_class") or infer_config.get("provider")
    if plan.infer_config is not None and not (named or config.get("system")):
        raise ConfigError("nothing says how the model is built", key="system",
                          hint="set it, or inference.provider_class")  # fmt: skip


def _requirements(plan: DemoPlan) -> list[str] | None:
    """Return what the demo needs besides a page; ``None`` where the configuration says it."""
    if plan.settings.requirements is not None:
        return None
    return pin_requirements(("demo", *needs_of_model(plan)))


def _render_readme(plan: DemoPlan, system: Any) -> str:
    settings = plan.settings
    template = settings.pack.readme_template or settings.readme_template or Path(README_TEMPLATE)
    text = model_card.find_template(template, plan.recipe_root)
    values = _readme_values(plan, system)
    card = scrub.redact_text(model_card.render(text, values))
    model_card.check_front_matter(card)
    return card


def _readme_values(plan: DemoPlan, system: Any) -> dict[str, Any]:
    git = publish_utils._git_info()
    title, description = _texts(plan)
    recipe_root = plan.recipe_root
    parts = recipe_root.resolve().parts if recipe_root else ()
    recipe = "/".join(parts[parts.index("egs3") + 1 :][:2]) if "egs3" in parts else ""
    values: dict[str, Any] = {
        "title": title,
        "description": description,
        "system": type(system).__name__,
        "recipe": recipe,
        "model": plan.demo_config.get("model", {}).get("dir_or_tag") if plan.hub_tag else None,
        "creator": publish_utils._hf_username(),
        "pack_name": plan.out_dir.name,
        "pack_strategy": "demo",
        "created_at": "",
        "results_section": "",
        "git_head": git.get("head"),
        "git_dirty": git.get("dirty"),
        "framework_version": espnet3.__version__,
        "python_version": platform.python_version(),
        "torch_version": bundle.installed_version("torch"),
        "gradio_version": installed_gradio(),
    }
    return {**values, "front_matter": _front_matter(values)}


def _front_matter(values: Mapping[str, Any]) -> str:
    tag = str(values["model"] or "").partition("@")[0]
    content: dict[str, Any] = {
        "title": values["title"],
        "sdk": "gradio",
        "sdk_version": values["gradio_version"],
        "python_version": ".".join(str(values["python_version"]).split(".")[:2]),
        "app_file": APP_FILE,
        "suggested_hardware": "cpu-basic",
        "models": [tag] if tag else None,
        "tags": ["espnet", "espnet3", "audio"],
    }
    return f"---\n{bundle.dump_yaml({k: v for k, v in content.items() if v})}---"


def _texts(plan: DemoPlan) -> tuple[str, str | None]:
    """Return title and description of the page; code of the recipe is not asked."""
    ui = plan.demo_config.get("ui") or {}
    default = system_hook(plan.demo_config, "build_ui_default")
    page = {**(default() if default else {}), **ui}
    return str(page.get("title") or plan.out_dir.name), page.get("description")
