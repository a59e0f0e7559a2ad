from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.inference.capacity import find_capacity


class Memory:
    """Memory of a device on which a call takes a fixed part and one per sample."""

    def __init__(self, size, fixed, each):
        self.size, self.fixed, self.each = size, fixed, each
        self.sizes = []

    def free(self):
        return self.size

    def peak(self, call):
        call()
        taken = self.fixed + self.each * self.sizes[-1]
        if taken > self.size:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return taken


@given(st.integers(1, 10**6), st.integers(0, 10**5), st.integers(1, 10**4), st.integers(1, 300))
def test_what_is_found_fits_into_four_fifths_and_is_not_far_below(size, fixed, each, most):
    memory = Memory(size, fixed, each)
    if fixed + each > size:
        with pytest.raises(RuntimeError):
            find_capacity(memory.sizes.append, memory, most=most)
        return
    found = find_capacity(memory.sizes.append, memory, most=most)
    assert 1 <= found <= most
    assert found == 1 or fixed + each * found <= 0.8 * size
    best = min(most, (0.8 * size - fixed) / each)
    assert 2 * found >= min(best, most) or fixed > each


def test_other_errors_come_through():
    def call(size):
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        find_capacity(call, Memory(100, 0, 1), most=8)
