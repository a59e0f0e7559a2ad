from __future__ import annotations

from importlib.resources import files

import pytest

from egs3.TEMPLATE.asr.src import get_readme


@pytest.mark.parametrize(
    ("name", "file"), [("get_readme", "readme.md"), ("get_demo_readme", "demo_readme.md")]
)
def test_the_template_hands_out_the_built_in_cards(name, file):
    text = getattr(get_readme, name)()
    assert text == (files("espnet3.publication") / "templates" / file).read_text(encoding="utf-8")
    assert "${front_matter}" in text
