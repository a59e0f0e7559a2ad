from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.parallel.base_runner import BaseRunner
from espnet3.parallel.env_provider import EnvironmentProvider
from espnet3.parallel.parallel import set_parallel


class CountingProvider:
    """Has only the method that in-process work needs."""

    def __init__(self, **env):
        self.env = env
        self.builds = 0

    def build_env_local(self):
        self.builds += 1
        return dict(self.env)


class EchoRunner(BaseRunner):
    @staticmethod
    def forward(idx, **env):
        return idx


class ScalingRunner(BaseRunner):
    @staticmethod
    def forward(idx, dataset, model, scale=1, **env):
        return scale * model(dataset[idx])


class DividingRunner(BaseRunner):
    @classmethod
    def forward(cls, idx, **env):
        return 1 / idx


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    monkeypatch.setattr(parallel, "_registered", None)


def test_env_entries_reach_forward_by_name():
    provider = CountingProvider(dataset=[1, 2], model=lambda x: x + 1, scale=10)
    assert ScalingRunner(provider)(range(2)) == [20, 30]
    assert provider.builds == 1


def test_batches_are_cut_in_order_and_the_last_is_shorter():
    assert EchoRunner(CountingProvider(), batch_size=2)(iter(range(5))) == [[0, 1], [2, 3], [4]]


def test_items_that_are_lists_already_are_not_flattened():
    assert EchoRunner(CountingProvider())([[3, 1], [2]]) == [[3, 1], [2]]


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_batch_size_that_is_not_positive_is_refused(size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        EchoRunner(CountingProvider(), batch_size=size)([0])


def test_no_indices_build_no_env():
    provider = CountingProvider()
    assert EchoRunner(provider)([]) == []
    assert provider.builds == 0


def test_an_error_keeps_its_type_and_names_the_item():
    with pytest.raises(ZeroDivisionError) as caught:
        DividingRunner(CountingProvider())([2, 0])
    assert "item 0" in caught.value.__notes__[0]


def test_outputs_can_be_taken_one_at_a_time():
    outputs = DividingRunner(CountingProvider()).iter_outputs([1, 0])
    assert next(outputs) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(outputs)


def test_batch_forward_maps_forward():
    assert ScalingRunner.batch_forward([1, 0], dataset="ab", model=str.upper) == ["B", "A"]


@pytest.mark.parametrize("block", [{}, {"env": None, "n_workers": None, "options": None}])
def test_a_block_without_values_means_one_local_worker(block):
    set_parallel(OmegaConf.create(block))
    assert EchoRunner(CountingProvider())([0]) == [0]


def test_a_misspelt_key_of_the_block_is_named():
    set_parallel(OmegaConf.create({"env": "local", "num_workers": 2}))
    with pytest.raises(ValueError, match="n_workers"):
        EchoRunner(CountingProvider())([0])


def test_zero_workers_are_refused():
    set_parallel(OmegaConf.create({"n_workers": 0}))
    with pytest.raises(ValueError, match="parallel.n_workers"):
        EchoRunner(CountingProvider())([0])


def test_abstract_classes_cannot_be_built():
    with pytest.raises(TypeError):
        BaseRunner(CountingProvider())
    with pytest.raises(TypeError):
        EnvironmentProvider(OmegaConf.create({}))


@given(count=st.integers(0, 50), size=st.integers(1, 60))
def test_every_index_is_in_exactly_one_batch(count, size):
    batches = EchoRunner(CountingProvider(), batch_size=size)(range(count))
    assert [i for batch in batches for i in batch] == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])


def test_resume_is_auto_or_a_truth_value():
    with pytest.raises(ValueError, match="resume = 'yes': must be auto, true or false"):
        EchoRunner(CountingProvider(), resume="yes")
