"""The router killed while a queue on disk holds what it acknowledged, in short.

``make storage-kills`` is the long form; ``KILLS=50`` makes this one long as well.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.storage_kills import run_storage_kills


def test_a_killed_router_delivers_what_is_on_disk(tmp_path: Path) -> None:
    """Whatever the router acknowledged is delivered by the one that is started next,
    with a backend away in between."""
    kills = int(os.environ.get("KILLS", "3"))
    killed = run_storage_kills(kills, tmp_path, spans_per_s=2_000)
    assert not killed.problems(), killed.problems()
    assert killed.most_on_disk
