"""What a page shows besides the outputs: confidence, time needed, and the spectrogram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.demo.answer import Answer
from espnet3.demo.spectrogram import draw_spectrogram
from espnet3.demo.ui import require_gradio

_PICTURE_PIXELS = 200


class DetailsPanel:
    """A line of facts and, for audio, its picture.

    Args:
        has_audio: The page takes audio.
    """

    def __init__(self, *, has_audio: bool) -> None:
        self._has_audio = has_audio

    def render(self) -> list[Any]:
        """Put the components on the page that is being built, and return them."""
        gr = require_gradio()
        components: list[Any] = [
            gr.Markdown(label="details", elem_classes="demo-details", elem_id="details")
        ]
        if self._has_audio:
            picture = gr.Image(
                label="Spectrogram",
                show_label=False,
                height=_PICTURE_PIXELS,
                buttons=["fullscreen"],
                interactive=False,
                format="png",
                elem_id="spectrogram",
                alt_text="Spectrogram of the recording, low frequencies at the bottom",
            )
            components.append(picture)
        return components

    def fill(self, answer: Answer) -> list[Any]:
        """Return what the components show for one answer."""
        values: list[Any] = [" · ".join(_facts(answer))]
        if self._has_audio:
            first = next(iter(answer.recordings.values()), None)
            values.append(None if first is None else draw_spectrogram(_mix(first[1]), first[0]))
        return values


def _mix(samples: Any) -> Any:
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def _facts(answer: Answer) -> Iterator[str]:
    confidence = answer.result.get("confidence") if isinstance(answer.result, Mapping) else None
    if isinstance(confidence, int | float):
        yield f"**Confidence {confidence:.0%}**"
    seconds = sum(len(samples) / rate for rate, samples in answer.recordings.values())
    if seconds:
        yield f"{answer.elapsed:.2f} s for {seconds:.1f} s of audio"
    else:
        yield f"{answer.elapsed:.2f} s"
