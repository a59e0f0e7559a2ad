from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.systems.base import inference_windows
from espnet3.systems.base.inference_samples import ReadAhead
from espnet3.systems.base.inference_windows import WindowReader


class Recordings:
    def __init__(self, sizes, bad=()):
        self.sizes = sizes
        self.bad = bad
        self.reads = []

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        self.reads.append(index)
        if index in self.bad:
            raise OSError("broken file")
        return {"speech": np.zeros(self.sizes[index], np.float32)}


def reader(dataset, *, size=4, keeps=True, num_threads=0):
    samples = ReadAhead(dataset)
    return samples, WindowReader(
        samples, key="speech", size=size, keeps=keeps, num_threads=num_threads
    )


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    size=st.integers(1, 9),
    keeps=st.booleans(),
    num_threads=st.integers(0, 3),
)
def test_windows_depend_on_the_samples_only_and_each_is_read_once(sizes, size, keeps, num_threads):
    dataset = Recordings(sizes)
    _, windows = reader(dataset, size=size, keeps=keeps, num_threads=num_threads)
    found = list(windows.read(len(sizes)))
    assert [list(w.indices) for w in found] == [
        list(range(i, min(i + size, len(sizes)))) for i in range(0, len(sizes), size)
    ]
    assert [length for w in found for length in w.lengths] == sizes
    assert sorted(dataset.reads) == list(range(len(sizes)))


@pytest.mark.parametrize("keeps", [True, False])
def test_large_samples_make_windows_smaller_whoever_decodes(monkeypatch, keeps):
    monkeypatch.setattr(inference_windows, "_MOST_BYTES", 4 * 1000 * 40)
    _, windows = reader(Recordings([1000] * 200), size=150, keeps=keeps)
    assert [len(w.indices) for w in windows.read(200)] == [64, 64, 22, 50]


def test_at_most_two_windows_are_in_memory():
    dataset = Recordings([10] * 64)
    samples, windows = reader(dataset, size=8, num_threads=1)
    for window in windows.read(64):
        deadline = time.monotonic() + 5
        while len(dataset.reads) < min(64, window.indices.stop + 8):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert len(samples.peek(range(64))) <= 16
        samples.forget(window.indices)
    assert len(dataset.reads) == 64


def test_what_workers_decode_does_not_stay_here():
    samples, windows = reader(Recordings([10] * 16), keeps=False)
    assert len(list(windows.read(16))) == 4
    assert samples.peek(range(16)) == []


def test_windows_that_need_no_decoding_are_not_read():
    dataset = Recordings([10] * 16)
    _, windows = reader(dataset)
    done = {0, 1, 2, 3, 4, 8, 9, 10, 11}
    assert [w.indices.start for w in windows.read(16, done.__contains__)] == [4, 12]
    assert set(dataset.reads) == {*range(4, 8), *range(12, 16)}


def test_a_reader_that_is_abandoned_ends_its_thread():
    before = threading.active_count()
    dataset = Recordings([10] * 100_000)
    windows = reader(dataset, size=50_000, num_threads=1)[1].read(100_000)
    next(windows)
    windows.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(dataset.reads) < 100_000


def test_a_sample_that_cannot_be_read_is_taken_for_long(caplog):
    _, windows = reader(Recordings([5, 9, 7, 1], bad={3}))
    (window,) = windows.read(4)
    assert window.lengths == [5, 9, 7, 9]
    assert "1 samples have no readable length" in caplog.text


def test_where_no_sample_can_be_read_the_first_error_is_raised():
    _, windows = reader(Recordings([5, 9], bad={0, 1}))
    with pytest.raises(OSError, match="broken file") as caught:
        list(windows.read(2))
    assert "item 0" in caught.value.__notes__[0]
