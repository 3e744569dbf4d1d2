"""The window: how much a backend that was late is entrusted with."""

from __future__ import annotations

import pytest

from tailring_router.window import SMALL_BYTES, Window

_MOST = 2 << 20


def test_a_window_is_open_until_a_request_is_late() -> None:
    """Quick and slow answers alike leave an open window as it is."""
    window = Window(10)
    for took in (0.0, 0.49, 0.89):
        window.answered(took)
        assert window.open
        assert window.bytes_max(_MOST) == _MOST


def test_a_late_request_leaves_one_small_one() -> None:
    """However wide the window was, one request of some spans is what remains."""
    window = Window(10)
    window.late()
    assert window.silent
    assert (window.requests, window.bytes_max(_MOST)) == (1, SMALL_BYTES)
    assert window.bytes_max(5) == 5


@pytest.mark.parametrize(
    ("took", "sizes"),
    [(0.49, [2, 4, 8, 10]), (0.5, [2, 3, 4, 5]), (0.9, [1, 1, 1, 1])],
)
def test_a_window_opens_again_by_answers(took: float, sizes: list[int]) -> None:
    """Quick answers double it, slow ones widen it by one, up to what is configured;
    those that were nearly late do not."""
    window = Window(10)
    window.late()
    seen = []
    for _ in sizes:
        window.answered(took)
        seen.append(window.requests)
    assert seen == sizes
    assert not window.silent


def test_an_answer_that_was_nearly_late_narrows_the_window() -> None:
    """The next one would be late, and with it all that was sent meanwhile."""
    window = Window(10)
    window.answered(0.95)
    assert window.requests == 1
    assert not window.silent


def test_a_new_connection_begins_with_an_open_window() -> None:
    """What a process that is gone did says nothing of the next one."""
    window = Window(10)
    window.late()
    window.reset()
    assert window.open
    assert not window.silent
