from __future__ import annotations

import socket

import pytest

from espnet3.cli.main import main
from tests.unit.demo.conftest import demo_dir, packed_recipe  # noqa: F401 - a packed demo


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class App:
    launched = None

    def launch(self, **arguments):
        App.launched = arguments


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    App.launched = None
    monkeypatch.setattr("espnet3.demo.app_builder.build_demo_app", lambda folder: App())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "demo.yaml").write_text("system: asr\nmodel: {dir_or_tag: ada/digits}\n")
    return str(tmp_path)


def test_a_demo_is_served_where_the_flags_say(folder, monkeypatch):
    monkeypatch.setattr("espnet3.cli.demo._check_address", lambda host, port: None)
    assert main(["demo", folder]) == 0
    assert App.launched == {"server_name": "127.0.0.1", "server_port": 7860}
    assert main(["demo", folder, "--host", "0.0.0.0", "--port", "80"]) == 0
    assert App.launched == {"server_name": "0.0.0.0", "server_port": 80}


@pytest.mark.parametrize("port", ["99999", "0", "-1", "http"])
def test_what_is_no_port_is_refused(folder, port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", folder, "--port", port])
    assert f"'{port}' is no port: give 1 to 65535" in capsys.readouterr().err


def test_an_address_where_nobody_can_listen_is_told_before_the_model_is_loaded(folder, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["demo", folder, "--port", port]) == 1
        error = capsys.readouterr().err
        assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in error
        assert "--port" in error and App.launched is None
    assert main(["demo", folder, "--port", port]) == 0
    assert main(["demo", folder, "--host", "256.0.0.1"]) == 1
    assert "cannot listen at 256.0.0.1:7860" in capsys.readouterr().err


def test_an_address_that_is_taken_while_the_model_is_loaded_is_told_with_our_flags(
    folder, capsys, monkeypatch
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])

        class LateApp:
            def launch(self, **arguments):
                raise OSError("Cannot find empty port: set GRADIO_SERVER_PORT")

        def build(folder):
            taken.listen()
            return LateApp()

        monkeypatch.setattr("espnet3.demo.app_builder.build_demo_app", build)
        assert main(["demo", folder, "--port", port]) == 1
    error = capsys.readouterr().err
    assert f"cannot listen at 127.0.0.1:{port}" in error and "--port" in error
    assert "GRADIO_SERVER_PORT" not in error


def test_a_demo_with_code_of_its_own_needs_trust(tmp_path, capsys):
    (tmp_path / "demo.yaml").write_text("system: asr\ninfer_config: infer.yaml\n")
    assert main(["demo", str(tmp_path)]) == 1
    assert "--trust_user_code" in capsys.readouterr().err and App.launched is None
    assert main(["demo", str(tmp_path), "--trust_user_code", "--port", free_port()]) == 0
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
