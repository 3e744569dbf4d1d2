"""Tests only: builders, clocks, sinks, real servers as children, contract suites.

Import the module that is needed (``from tailring_testkit import otlp``): some pull
in heavy libraries, so nothing is re-exported here.
"""
