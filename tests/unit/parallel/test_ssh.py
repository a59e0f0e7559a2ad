"""The `ssh` back end, on an SSH server of the test's own."""

from __future__ import annotations

import getpass
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.parallel.parallel import build_client, get_client, parallel_map
from tests.unit.parallel.conftest import variable

ROOT = Path(__file__).parents[3]
SERVER = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin")
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
"""


@pytest.fixture
def ssh_options(tmp_path):
    """Start a server that lets the present user in; return the options of the back end."""
    if SERVER is None:
        pytest.skip("no sshd on this machine")
    pytest.importorskip("asyncssh", reason="needs the extra `cluster`")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "config").write_text(CONFIG.format(port=port, folder=tmp_path))
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen([SERVER, "-D", "-e", "-f", str(tmp_path / "config")], stderr=log)
    try:
        _wait_for(port, server, tmp_path / "log")
        python = tmp_path / "python"
        path = shlex.join([f"PYTHONPATH={':'.join([str(ROOT), *filter(None, sys.path)])}"])
        python.write_text(f'#!/bin/sh\nexec env {path} {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        yield {
            "hosts": ["127.0.0.1", "127.0.0.1"],
            "connect_options": {
                "port": port,
                "username": getpass.getuser(),
                "client_keys": [str(tmp_path / "user")],
                "known_hosts": None,
                "config": None,
            },
            "scheduler_options": {"port": 0, "dashboard_address": "127.0.0.1:0"},
            "worker_options": {"nthreads": 1, "local_directory": str(tmp_path / "scratch")},
            "remote_python": str(python),
        }
    finally:
        server.terminate()
        server.wait()
        log.close()


def _wait_for(port, server, log):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None:
                pytest.skip(f"sshd does not start here: {log.read_text().strip()}")
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_workers_on_other_hosts_do_the_work(ssh_options):
    config = OmegaConf.create({"env": "ssh", "options": ssh_options})
    with get_client(config, setup_fn=lambda: {"n": 2}) as client:
        assert parallel_map(lambda x, n: n * x, range(20), client=client) == list(range(0, 40, 2))
        assert len(client.nthreads()) == 1
        assert variable(client, "MALLOC_TRIM_THRESHOLD_") is None


def test_a_number_of_workers_that_is_not_that_of_the_hosts_is_an_error():
    options = {"hosts": ["a", "b", "c"]}
    with pytest.raises(ValueError, match=r"number of worker hosts \(2\)"):
        build_client(OmegaConf.create({"env": "ssh", "n_workers": 3, "options": options}))
