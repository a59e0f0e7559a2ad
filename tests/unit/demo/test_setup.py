from __future__ import annotations

import runpy

import yaml

from espnet3.demo.setup import setup_demo_assets


def test_the_program_of_a_demo_builds_it_and_serves_it(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "demo"
    setup_demo_assets(demo_dir=folder, demo_config={}, requirements=["a==1", "b"])
    assert (folder / "requirements.txt").read_text() == "a==1\nb\n"
    calls = []

    class App:
        def launch(self):
            calls.append("launched")

    monkeypatch.setattr(
        "espnet3.demo.app_builder.build_demo_app", lambda place: calls.append(place) or App()
    )
    names = runpy.run_path(str(folder / "app.py"))
    assert calls == [] and names["DEMO_DIR"] == folder
    runpy.run_path(str(folder / "app.py"), run_name="__main__")
    assert calls == [folder, "launched"]


def test_requirements_come_from_the_config_then_from_here(tmp_path):
    setup_demo_assets(demo_dir=tmp_path, demo_config={"requirements": ["x==2"]})
    assert (tmp_path / "requirements.txt").read_text() == "x==2\n"
    setup_demo_assets(demo_dir=tmp_path, demo_config={})
    assert (tmp_path / "requirements.txt").read_text().startswith("espnet3[demo]==")


def test_pages_to_choose_from_are_written_as_yaml(tmp_path):
    page = {"title": "T", "outputs": [{"name": "text", "type": "textbox"}]}
    setup_demo_assets(
        demo_dir=tmp_path,
        demo_config={},
        requirements=[],
        ui_templates={"basic": page, "raw": "title: R\n"},
    )
    assert yaml.safe_load((tmp_path / "ui_templates" / "basic.yaml").read_text()) == page
    assert (tmp_path / "ui_templates" / "raw.yaml").read_text() == "title: R\n"
