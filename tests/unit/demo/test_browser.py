"""The page, as somebody sees it."""

from __future__ import annotations

import pytest

from espnet3.demo.trial import _serving
from espnet3.publication import InferenceSession
from tests.unit.demo.browser import NAMES, find_chromium, open_page

pytestmark = pytest.mark.skipif(
    find_chromium() is None,
    reason=f"no browser on this machine ({', '.join(NAMES)}); Debian has it as `chromium`",
)


@pytest.fixture(scope="module")
def address(demo_dir, tmp_path_factory):
    with _serving(demo_dir, tmp_path_factory.mktemp("server")) as server:
        yield server.wait(120)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with open_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_an_uploaded_recording_is_transcribed(page, address, demo_dir, wav, width):
    import soundfile

    samples, _ = soundfile.read(wav, dtype="float32")
    expected = InferenceSession.from_pretrained(str(demo_dir / "model"))(samples)["hyp"]
    assert expected
    page.open(address, width=width, height=844, is_mobile=width < 500)
    page.wait_for("document.querySelector('[aria-label=\"Upload file\"]') !== null")
    page.evaluate("document.querySelector('[aria-label=\"Upload file\"]').click()")
    page.wait_for("document.querySelector('input[type=file]') !== null")
    page.choose_file("input[type=file]", wav)
    page.wait_for("document.body.innerText.includes('0:01')")
    page.evaluate("document.querySelector('#run').click()")
    transcript = page.wait_for("document.querySelector('textarea').value")
    assert transcript == expected
    assert "Confidence" in page.wait_for("document.querySelector('#details').innerText")
    page.wait_for("document.querySelector('#spectrogram img')?.naturalWidth > 100")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    foreign = page.evaluate(
        "performance.getEntriesByType('resource').map(e => e.name)"
        f".filter(name => name.startsWith('http') && !name.startsWith('{address}'))"
    )
    assert foreign == []
