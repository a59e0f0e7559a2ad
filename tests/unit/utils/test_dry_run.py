from __future__ import annotations

from espnet3.utils.dry_run import dry_run_scope, is_dry_run


def test_the_dry_run_scope_ends_with_its_block():
    with dry_run_scope(True):
        assert is_dry_run()
    assert not is_dry_run()
