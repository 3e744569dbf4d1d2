"""Compiles the hot modules with mypyc when TAILRING_COMPILE=1; pure otherwise."""

import os

from setuptools import setup

HOT = [
    "src/tailring_sampler/fnv.py",
    "src/tailring_sampler/record.py",
    "src/tailring_sampler/timewheel.py",
    "src/tailring_sampler/sizeclasses.py",
    "src/tailring_sampler/tracebuffer.py",
    "src/tailring_sampler/judge.py",
    "src/tailring_sampler/sampler.py",
]

ext_modules = []
if HOT and os.environ.get("TAILRING_COMPILE") == "1":
    from mypyc.build import mypycify

    ext_modules = mypycify(["--strict", *HOT], opt_level="3")

setup(ext_modules=ext_modules)
