"""A batch that does not fit the arguments of a model is one clear error."""

from __future__ import annotations

import pytest
import torch

from espnet3.components.data.model_call import BatchKeysError, call_with_batch


class Strict(torch.nn.Module):
    def forward(self, speech, speech_lengths, *, text=None):
        return speech + "broken" if text == "broken" else speech


class Open(Strict):
    def forward(self, speech, **_):
        return speech


def call(model, **batch):
    return call_with_batch(model, batch, "Model.forward")


def test_what_fits_is_called():
    assert call(Strict(), speech=1, speech_lengths=2) == 1
    assert call(Open(), speech=1, anything=2) == 1


@pytest.mark.parametrize("model", [Strict(), Open()])
def test_what_a_model_needs_is_named_with_what_there_is(model):
    with pytest.raises(BatchKeysError, match=r"Model.forward needs speech.* has: text") as caught:
        call(model, text=1)
    assert "dataset.preprocessor" in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_what_a_model_does_not_take_is_named():
    with pytest.raises(BatchKeysError, match=r"takes no noise\n  add \*\*_"):
        call(Strict(), speech=1, speech_lengths=2, noise=3)


def test_an_error_inside_of_the_model_stays_what_it_is():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        call(Strict(), speech=1, speech_lengths=2, text="broken")
    assert not isinstance(caught.value, BatchKeysError)
