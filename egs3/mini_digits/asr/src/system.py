"""The recipe's own stage: a closing report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.path_utils import write_text
from espnet3.utils.stage_plan import StagePlan, planned_by

_KINDS = ("substitutions", "deletions", "insertions")
_UNITS = {"WER": "words", "CER": "characters"}


def _plan_report(system: MiniDigitsSystem) -> StagePlan:
    """Declare what the stage ``report`` reads and writes."""
    inference_dir = Path(system.metrics_config.inference_dir)
    return StagePlan(
        inputs=(
            inference_dir / "metrics_details.json",
            Path(system.publication_config.pack_model.out_dir),
        ),
        outputs=(Path(system.training_config.exp_dir, "report.txt"),),
    )


class MiniDigitsSystem(ASRSystem):
    """Speech recognition with one more stage, ``report``."""

    @planned_by(_plan_report)
    def report(self, *args: Any, **kwargs: Any) -> str:
        """Show the error rates, where things are, and a transcript made by the bundle.

        The bundle is used as a stranger would use it, so the transcript also proves that it works.

        Returns:
            The text, which is also printed and written to ``<exp_dir>/report.txt``.
        """
        from espnet3.components.data.manifest import ManifestDataset

        self._reject_stage_args("report", args, kwargs)
        exp_dir = Path(self.training_config.exp_dir).resolve()
        inference_dir = Path(self.metrics_config.inference_dir).resolve()
        bundle = Path(self.publication_config.pack_model.out_dir).resolve()
        test_set = ManifestDataset(Path(self.training_config.data_dir, "manifest", "test.tsv"))
        example = test_set[0]
        text = "\n".join(
            [
                *_describe_scores(inference_dir),
                "",
                f"experiment  {exp_dir}",
                f"hypotheses  {inference_dir}",
                f"bundle      {bundle}",
                "",
                f'InferenceSession.from_pretrained("{bundle}")',
                f"  hears     {test_set.rows[0].wav_path}",
                f"  says      {_transcribe(bundle, example['speech'])}",
                f"  should be {example['text']}",
                "",
            ]
        )
        write_text(exp_dir / "report.txt", text)
        sys.stdout.write(f"\n{text}")
        return text


def _describe_scores(inference_dir: Path) -> list[str]:
    """Return a line per score; `measure` has shown the table."""
    scores, details = (
        json.loads((inference_dir / name).read_text(encoding="utf-8"))
        for name in ("metrics.json", "metrics_details.json")
    )
    lines = []
    for metric, by_test_set in scores.items():
        for test_name, values in by_test_set.items():
            counts = details["metrics"][metric][test_name]
            kinds = ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS)
            for name, value in values.items():
                lines.append(
                    f"{name} {value:.2f} % on {test_name}: {counts['errors']} errors ({kinds})"
                    f" in {counts['reference_length']} {_UNITS[name]}"
                )
    return lines


def _transcribe(bundle: Path, speech: Any) -> str:
    from espnet3.publication import InferenceSession

    session = InferenceSession.from_pretrained(str(bundle))
    return str(session(speech)["hyp"])
