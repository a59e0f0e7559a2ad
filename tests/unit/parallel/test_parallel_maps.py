from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from distributed import get_worker, wait
from omegaconf import OmegaConf

from espnet3.errors import ParallelError
from espnet3.parallel import clusters, parallel
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.base_runner import BaseRunner
from espnet3.parallel.parallel import (
    build_client,
    close_client,
    get_client,
    get_parallel_config,
    parallel_for,
    parallel_map,
    register_env,
    set_parallel,
    wrap_func_with_worker_env,
)
from espnet3.parallel.work_pool import WorkPool

LOCAL = OmegaConf.create({"env": "local", "n_workers": 2})


def test_results_come_in_the_order_of_the_items(cluster_client):
    assert parallel_map(lambda x: x * x, range(50), client=cluster_client) == [
        x * x for x in range(50)
    ]


def test_a_loop_yields_every_result_in_any_order(cluster_client):
    found = parallel_for(lambda x: -x, iter([3, 1, 2]), client=cluster_client)
    assert sorted(found) == [-3, -2, -1]


def test_equal_items_and_equal_calls_are_all_worked_on(cluster_client, tmp_path):
    def touch(x):
        (tmp_path / f"{x}-{time.time_ns()}-{os.getpid()}").touch()
        return x

    for _ in range(2):
        assert parallel_map(touch, [1, 1, 1], client=cluster_client) == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 6


def test_keywords_that_the_scheduler_knows_too_reach_the_function(cluster_client):
    given = {"key": 1, "workers": 2, "retries": 3, "priority": 4, "pure": 5, "batch_size": 6}
    found = parallel_map(lambda x, **kw: kw, [0], client=cluster_client, setup_fn=dict, **given)
    assert found == [given]


def test_the_environment_reaches_lambdas_and_defaults_yield_to_it(cluster_client):
    def setup():
        return {"bias": 10, "unknown": 0}

    found = parallel_map(lambda x, bias=-1: x + bias, [1], client=cluster_client, setup_fn=setup)
    assert found == [11]
    (found,) = parallel_for(lambda x, **kw: kw, [1], client=cluster_client, setup_fn=setup)
    assert found == {"bias": 10, "unknown": 0}


@pytest.mark.parametrize("run", [parallel_map, lambda *a, **k: list(parallel_for(*a, **k))])
def test_a_name_given_twice_is_an_error_of_the_caller(cluster_client, run):
    with pytest.raises(ValueError, match="bias"):
        run(lambda x, bias: x, [1], client=cluster_client, setup_fn=lambda: {"bias": 1}, bias=2)


def test_the_setup_runs_once_per_worker(cluster_client, tmp_path):
    def setup():
        (tmp_path / f"{os.getpid()}-{time.time_ns()}").touch()
        return {"n": 1}

    assert sum(parallel_map(lambda x, n: n, range(40), client=cluster_client, setup_fn=setup)) == 40
    built = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert 1 <= len(built) <= 2
    assert len(set(built)) == len(built)


def test_work_that_was_cancelled_while_it_was_set_up_leaves_nothing_behind(cluster_client):
    def slow_setup():
        time.sleep(1.0)
        return {"n": 1}

    def look(x, n):
        return n

    register_env(cluster_client, slow_setup)
    call = wrap_func_with_worker_env(look)
    old = [cluster_client.submit(call, i, pure=False) for i in range(2)]
    time.sleep(0.4)
    register_env(cluster_client, lambda: {"n": 2})
    wait(old)
    assert parallel_map(look, range(20), client=cluster_client) == [2] * 20


def test_a_setup_that_fails_fails_the_work(cluster_client):
    def setup():
        raise FileNotFoundError("last.ckpt")

    with pytest.raises(FileNotFoundError, match=r"last\.ckpt"):
        parallel_map(lambda x: x, [1], client=cluster_client, setup_fn=setup)
    with pytest.raises(ValueError, match="must return a dict"):
        parallel_map(lambda x: x, [1], client=cluster_client, setup_fn=lambda: 3)
    assert parallel_map(lambda x: x, [1], client=cluster_client, setup_fn=dict) == [1]


def test_an_error_keeps_its_type_and_message(cluster_client):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        parallel_map(lambda x: 1 / x, [1, 0, 2], client=cluster_client)


def test_an_error_cancels_the_rest_and_closes_the_client_that_was_made(monkeypatch, tmp_path):
    made = []

    def build(settings, **options):
        made.append(clusters.build_cluster(settings, **options))
        return made[-1]

    def work(x, folder):
        (folder / str(x)).touch()
        if x == 3:
            raise ZeroDivisionError("three")
        time.sleep(0.02)

    monkeypatch.setattr(parallel, "build_cluster", build)
    set_parallel(OmegaConf.create({"n_workers": 1}))
    with pytest.raises(ZeroDivisionError, match="three"):
        parallel_map(work, range(400), setup_fn=lambda: {"folder": tmp_path})
    assert made[0].status.name == "closed"
    assert 4 <= len(list(tmp_path.iterdir())) < 400


def test_a_slow_worker_gets_less_to_do(cluster_client):
    def work(x):
        name = get_worker().name
        time.sleep(0.1 if name == 0 else 0.002)
        return name

    names = parallel_map(work, range(200), client=cluster_client)
    assert 0 < names.count(0) < 60


def test_progress_is_made_while_work_is_done(cluster_client, monkeypatch):
    steps = []

    @contextlib.contextmanager
    def bar(total, name, **options):
        yield SimpleNamespace(update=lambda count: steps.append((time.monotonic(), count)))

    monkeypatch.setattr(parallel, "progress_bar", bar)
    started = time.monotonic()
    parallel_map(lambda x: time.sleep(0.05), range(20), client=cluster_client)
    half = started + (time.monotonic() - started) / 2
    assert sum(count for _, count in steps) == 20
    assert 0 < sum(count for when, count in steps if when < half) < 20


def test_workers_know_the_modules_and_the_folder_of_the_driver(
    cluster_client, monkeypatch, tmp_path
):
    (tmp_path / "recipe_words.py").write_text("WORD = 'hello'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def setup():
        import recipe_words

        return {"word": recipe_words.WORD}

    def work(x, word):
        return word, os.getcwd(), os.environ["ESPNET3_WORKER_ID"], str(get_worker().name)  # noqa: PTH109

    found = parallel_map(work, range(8), client=cluster_client, setup_fn=setup)
    assert {row[:2] for row in found} == {("hello", str(tmp_path))}
    assert all(row[2] == row[3] for row in found)


def test_work_of_a_killed_worker_is_done_by_another(cluster_client, tmp_path):
    def work(x):
        if x == 5:
            try:
                (tmp_path / "once").touch(exist_ok=False)
            except FileExistsError:
                return x
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    assert parallel_map(work, range(20), client=cluster_client) == list(range(20))


def test_only_begun_work_is_suspected_and_the_signal_is_named(cluster_client, tmp_path, caplog):
    def work(x):
        if x == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        with (tmp_path / str(x)).open("a") as stream:
            stream.write(".")
        time.sleep(0.2)
        return x

    pool = WorkPool(cluster_client, num_workers=1)
    done = list(pool.run(_each(work), Backlog(range(3), num_workers=1)))
    (lost,) = [piece for piece in done if piece.is_lost]
    assert (lost.units, lost.cause) == ([0], " (SIGKILL)")
    assert "died (SIGKILL)" in caplog.text
    with pytest.raises(ParallelError, match=r"the last was \d+ \(SIGKILL\)"):
        lost.take()
    # What waited behind the culprit is done; again only if its result was lost with a worker.
    assert sorted(piece.units for piece in done if not piece.is_lost) == [[1], [2]]
    assert all((tmp_path / name).is_file() for name in "12")
    assert pool._restarts.total == 4


def _each(work):
    return lambda units: [work(unit) for unit in units]


@pytest.mark.parametrize("run", [parallel_map, lambda *a: list(parallel_for(*a))])
def test_no_items_need_no_cluster(run, monkeypatch):
    monkeypatch.setattr(parallel, "build_cluster", None)
    set_parallel(LOCAL)
    assert run(abs, []) == []


def test_a_client_lives_as_long_as_its_block():
    set_parallel(LOCAL)
    with get_client(setup_fn=lambda: {"n": 2}) as client:
        assert parallel_map(lambda x, n: x * n, [1, 2], client=client) == [2, 4]
        cluster = client.cluster
    assert cluster.status.name == "closed"
    assert get_parallel_config().n_workers == 2


def test_a_client_maps_and_closing_twice_does_no_harm():
    client = build_client(OmegaConf.create({"n_workers": 1}))
    assert client.gather(client.map(lambda x: x + 1, [1, 2])) == [2, 3]
    close_client(client)
    close_client(client)


def test_leaving_a_loop_early_cancels_the_rest(cluster_client, tmp_path):
    def work(x):
        time.sleep(0.05)
        (tmp_path / str(x)).touch()
        return x

    loop = parallel_for(work, range(400), client=cluster_client)
    next(loop)
    loop.close()
    before, count = -1, len(list(tmp_path.iterdir()))
    while before < count:  # what a worker has begun comes to an end
        time.sleep(1.0)
        before, count = count, len(list(tmp_path.iterdir()))
    assert count < 400


def test_leaving_a_loop_early_closes_the_client_that_was_made_for_it(monkeypatch):
    made = []

    def build(settings, **options):
        made.append(clusters.build_cluster(settings, **options))
        return made[-1]

    monkeypatch.setattr(parallel, "build_cluster", build)
    set_parallel(OmegaConf.create({"n_workers": 1}))
    loop = parallel_for(lambda x: x, range(100))
    next(loop)
    assert made[0].status.name == "running"
    loop.close()
    assert made[0].status.name == "closed"


def test_classes_of_a_script_or_notebook_travel_whole(cluster_client):
    namespace = {"__name__": "__main__"}
    exec(  # noqa: S102
        "class Word(str):\n    def loud(self):\n        return self.upper()\n"
        "def shout(x, make):\n    return make(x).loud()\n",
        namespace,
    )
    cls, shout = namespace["Word"], namespace["shout"]
    found = parallel_map(shout, ["a"], client=cluster_client, setup_fn=lambda: {"make": cls})
    assert found == ["A"]


@pytest.mark.parametrize("what", ["work", "setup function", "result"])
def test_what_cannot_travel_is_named_with_the_way_out(cluster_client, what):
    lock = threading.Lock()
    func = {
        "work": lambda x: (x, lock),
        "setup function": lambda x: x,
        "result": lambda x: __import__("threading").Lock(),
    }[what]
    setup = (lambda: {"lock": lock}) if what == "setup function" else dict
    with pytest.raises(ParallelError, match=f"{what} cannot travel.*cannot pickle.*lock"):
        parallel_map(func, [1], client=cluster_client, setup_fn=setup)


class WorkerProvider:
    """Has only the method that workers need."""

    def __init__(self, **env):
        self.env = env

    def build_worker_setup_fn(self):
        env = dict(self.env)
        return lambda: env


class ScalingRunner(BaseRunner):
    @staticmethod
    def forward(idx, dataset, scale=1, **env):
        return [scale * dataset[i] for i in idx] if isinstance(idx, list) else scale * dataset[idx]


class PickyRunner(BaseRunner):
    @staticmethod
    def forward(idx, dataset):
        if dataset[idx] < 0:
            raise ArithmeticError("negative")
        return dataset[idx]


def test_a_runner_gives_on_workers_what_it_gives_in_process():
    set_parallel(LOCAL)
    dataset = list(range(30))
    provider = WorkerProvider(dataset=dataset, scale=3)
    assert ScalingRunner(provider)(range(30)) == [3 * x for x in dataset]
    dataset[17] = -1
    with pytest.raises(ArithmeticError, match="negative") as caught:
        PickyRunner(WorkerProvider(dataset=dataset, unused=1))(range(30))
    assert "item 17" in "".join(caught.value.__notes__)


def test_the_configured_time_to_wait_for_workers_counts(cluster_client, monkeypatch):
    monkeypatch.setattr(parallel, "build_client", lambda config: cluster_client)
    monkeypatch.setattr(parallel, "close_client", lambda client: None)
    waits = []
    original = parallel.WorkPool

    def build(client, **options):
        waits.append(options["start_timeout"])
        return original(client, **options)

    monkeypatch.setattr(parallel, "WorkPool", build)
    set_parallel(OmegaConf.create({"n_workers": 2, "start_timeout": 7}))
    assert parallel_map(abs, [-1]) == [1]
    assert parallel_map(abs, [-1], client=cluster_client) == [1]
    assert waits == [7, 600]
