"""Tests marked ``namespaces`` run in namespaces of their own."""

from __future__ import annotations

import pytest

from tailring_testkit import cluster


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test in a second pytest inside new namespaces."""
    if cluster.inside() or pyfuncitem.get_closest_marker("namespaces") is None:
        return None
    cluster.run_inside(cluster.pytest_command(pyfuncitem.nodeid))
    return True
