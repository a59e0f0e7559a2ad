from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from espnet3.publication.resolution_limit import limited_resolution
from tests.unit.publication.conftest import write
from tests.unit.publication.test_malicious_bundles import ECHO, load


def test_honest_interpolations_are_far_below_the_limit(tmp_path):
    tokens = [f"symbol{i}" for i in range(5000)]
    write(tmp_path / "tokens.txt", "\n".join(tokens))
    keys = {f"k{i}": f"${{recipe_dir}}/{i}" for i in range(100)}
    model = {**ECHO, **keys, "token_list": "${load_line:${recipe_dir}/tokens.txt}"}
    options = load(tmp_path, {"recipe_dir": ".", "model": model}).model.options
    assert options["token_list"] == tokens


def test_configs_of_other_threads_resolve_without_a_limit():
    config = OmegaConf.create({"a": "x" * 10**6, "b": "${a}"})
    with limited_resolution():
        with pytest.raises(InterpolationResolutionError, match="expands to more"):
            [config.b for _ in range(20)]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: [len(config.b) for _ in range(20)]).result()[-1] == 10**6
    assert len(config.b) == 10**6
