"""The garbage collector is paused for a while, and never for good."""

from __future__ import annotations

import gc

import pytest

from ovpass.support.garbage import collection_paused


def test_collection_goes_on_after_nested_pauses_and_errors() -> None:
    with pytest.raises(ValueError, match="inside"), collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
