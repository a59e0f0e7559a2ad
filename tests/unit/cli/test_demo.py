from __future__ import annotations

import pytest

from espnet3.cli.main import main
from tests.unit.demo.conftest import demo_dir, packed_recipe  # noqa: F401 - a packed demo


class App:
    launched = None

    def launch(self, **arguments):
        App.launched = arguments


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    App.launched = None
    monkeypatch.setattr("espnet3.demo.app_builder.build_demo_app", lambda folder: App())


def test_a_demo_is_served_where_the_flags_say(demo_dir):  # noqa: F811
    assert main(["demo", str(demo_dir)]) == 0
    assert App.launched == {"server_name": "127.0.0.1", "server_port": 7860}
    assert main(["demo", str(demo_dir), "--host", "0.0.0.0", "--port", "80"]) == 0
    assert App.launched == {"server_name": "0.0.0.0", "server_port": 80}


def test_a_demo_with_code_of_its_own_needs_trust(tmp_path, capsys):
    (tmp_path / "demo.yaml").write_text("system: asr\ninfer_config: infer.yaml\n")
    assert main(["demo", str(tmp_path)]) == 1
    assert "--trust_user_code" in capsys.readouterr().err and App.launched is None
    assert main(["demo", str(tmp_path), "--trust_user_code"]) == 0
    assert App.launched is not None


def test_a_folder_without_a_demo(tmp_path, capsys):
    assert main(["demo", str(tmp_path)]) == 1
    assert "demo.yaml" in capsys.readouterr().err


def test_trying_out_runs_code_so_it_needs_trust(demo_dir, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr("espnet3.demo.trial.try_out", lambda folder: ("one",))
    assert main(["demo", str(demo_dir), "--try_out"]) == 1
    assert "--trust_user_code" in capsys.readouterr().err
    assert main(["demo", str(demo_dir), "--try_out", "--trust_user_code"]) == 0
    assert "answers ('one',)" in capsys.readouterr().out
