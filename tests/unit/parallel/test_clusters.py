from __future__ import annotations

import contextlib
import os
import sys
import types
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import clusters
from espnet3.parallel.clusters import CLUSTER_MAP, format_walltime
from espnet3.parallel.parallel import build_client, build_local_gpu_cluster
from espnet3.parallel.settings import BATCH_ENVS, ParallelSettings

LOOPBACK = "0100007F"


def test_the_map_names_every_batch_system_and_ssh():
    assert set(CLUSTER_MAP) == {*BATCH_ENVS, "ssh"}
    assert CLUSTER_MAP["slurm"].__name__ == "SLURMCluster"


def test_without_dask_the_map_is_there_and_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeError, match="Dask is required"):
        CLUSTER_MAP["pbs"]()


def test_a_client_needs_a_configuration():
    with pytest.raises(ValueError, match=r"parallel configuration is not set.*set_parallel"):
        build_client()


def test_an_unknown_back_end_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown env 'slurmm'.*slurm"):
        build_client(OmegaConf.create({"env": "slurmm"}))


def test_kube_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_kubernetes", None)
    with pytest.raises(RuntimeError, match="Please install dask_kubernetes"):
        build_client(OmegaConf.create({"env": "kube"}))


class Pods:
    def __init__(self, **options):
        self.options, self.num_workers = options, 0

    def scale(self, count):
        self.num_workers = count


@pytest.mark.parametrize("has_operator", [True, False])
def test_kube_takes_the_operator_where_the_package_has_one(monkeypatch, has_operator):
    new, old = type("New", (Pods,), {}), type("Old", (Pods,), {})
    package = types.ModuleType("dask_kubernetes")
    package.KubeCluster = old
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "dask_kubernetes", package)
    operator = types.ModuleType("dask_kubernetes.operator")
    operator.KubeCluster = new
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", operator if has_operator else None)
    settings = ParallelSettings(env="kube", n_workers=3, options={"name": "x"})
    cluster = clusters.build_cluster(settings)
    assert type(cluster) is (new if has_operator else old)
    assert (cluster.options, cluster.num_workers) == ({"name": "x"}, 3)


def test_more_workers_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(clusters, "count_gpus", lambda: 1)
    with pytest.raises(ValueError, match="2 workers need as many GPUs, but 1 are visible"):
        build_local_gpu_cluster(2, {})


def test_each_worker_of_local_gpu_sees_one_device_of_ours(monkeypatch):
    monkeypatch.setattr(clusters, "count_gpus", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    client = build_local_gpu_cluster(2, {})
    try:
        client.wait_for_workers(2, timeout=60)
        names = ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK")
        found = client.run(lambda: [__import__("os").environ[name] for name in names])
        assert sorted(found.values()) == [["3", "0"], ["5", "0"]]
        assert listening_addresses(client) == {LOOPBACK}
    finally:
        cluster = client.cluster
        client.close()
        cluster.close()


def test_local_clusters_can_be_reached_from_this_machine_only(cluster_client):
    assert cluster_client.cluster.scheduler_address.startswith("tcp://127.0.0.1:")
    assert listening_addresses(cluster_client) == {LOOPBACK}


def listening_addresses(client):
    """Return the addresses on which driver, nannies and workers accept connections."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs the proc file system of Linux")
    addresses = {}
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A":
                addresses[f"socket:[{rest[5]}]"] = local.partition(":")[0]
    pids = {os.getpid(), *client.run(os.getpid).values(), *client.run(os.getppid).values()}
    links = set()
    for pid in pids:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.add(str(path.readlink()))
    return {address for link, address in addresses.items() if link in links}


def test_options_are_logged_without_secrets(monkeypatch, caplog):
    monkeypatch.setattr(clusters, "_build_local", lambda n, options: None)
    caplog.set_level("INFO", logger="espnet3.parallel.clusters")
    options = {"env": {"HUB_PASSWORD": "hunter2"}}
    clusters.build_cluster(ParallelSettings(n_workers=3, options=options))
    assert "env=local n_workers=3" in caplog.text
    assert "hunter2" not in caplog.text


def test_ssh_has_as_many_workers_as_hosts_beside_the_scheduler():
    def settings(**values):
        return ParallelSettings(env="ssh", options={"hosts": ["a", "b", "c"]}, **values)

    assert settings().num_workers == settings(n_workers=2).num_workers == 2
    with pytest.raises(ValueError, match=r"number of worker hosts \(2\)"):
        settings(n_workers=3).num_workers  # noqa: B018


@pytest.mark.parametrize(
    ("seconds", "text"), [(1800, "00:30:00"), (0, "00:00:00"), (360_000, "100:00:00")]
)
def test_walltime_in_seconds_becomes_a_time(seconds, text):
    assert format_walltime(seconds, "slurm") == text


def test_auto_takes_gpus_when_there_are_several(monkeypatch):
    chosen = []
    monkeypatch.setattr(clusters, "count_gpus", lambda: 2)
    monkeypatch.setattr(clusters, "build_gpu_cluster", lambda n, options: chosen.append(n))
    clusters.build_cluster(ParallelSettings(env="auto", n_workers=2))
    assert chosen == [2]


def test_several_workers_may_share_a_gpu(monkeypatch):
    import distributed

    made = []
    monkeypatch.setattr(clusters, "count_gpus", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    monkeypatch.setattr(distributed, "SpecCluster", lambda **options: made.append(options))
    clusters.build_gpu_cluster(2, {"workers_per_device": 2})
    options = [worker["options"] for worker in made[0]["workers"].values()]
    assert [o["env"]["CUDA_VISIBLE_DEVICES"] for o in options] == ["5", "5", "3", "3"]
    assert "workers_per_device" not in options[0]


def test_variables_of_the_options_add_to_those_that_share_the_cores(monkeypatch):
    given = {}
    monkeypatch.setattr("distributed.LocalCluster", lambda **options: given.update(options))
    clusters.build_cluster(ParallelSettings(n_workers=2, options={"env": {"A": "b"}}))
    assert given["env"]["A"] == "b"
    assert given["env"]["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))


def test_gpus_without_a_worker_are_reported(monkeypatch, caplog):
    monkeypatch.setattr(clusters, "count_gpus", lambda: 4)
    monkeypatch.setattr("distributed.SpecCluster", dict)
    assert len(clusters.build_gpu_cluster(3, {})["workers"]) == 3
    assert "parallel.n_workers is 3: 1 GPUs will idle" in caplog.text
