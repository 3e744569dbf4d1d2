"""Compiles the hot modules with mypyc when TAILRING_COMPILE=1; pure otherwise."""

import os

from setuptools import setup

HOT = [
    "src/tailring_otlpwire/fields.py",
    "src/tailring_otlpwire/fragments.py",
    "src/tailring_otlpwire/budget.py",
    "src/tailring_otlpwire/header.py",
    "src/tailring_otlpwire/span.py",
    "src/tailring_otlpwire/kinds.py",
    "src/tailring_otlpwire/shapes.py",
    "src/tailring_otlpwire/metric.py",
    "src/tailring_otlpwire/validate.py",
    "src/tailring_otlpwire/legacy.py",
    "src/tailring_otlpwire/builder.py",
    "src/tailring_otlpwire/owners.py",
    "src/tailring_otlpwire/split.py",
    "src/tailring_otlpwire/values.py",
    "src/tailring_otlpwire/lookup.py",
    "src/tailring_otlpwire/identity.py",
    "src/tailring_otlpwire/unroutable.py",
    "src/tailring_otlpwire/rule.py",
    "src/tailring_otlpwire/keys.py",
    "src/tailring_otlpwire/keys_plain.py",
    "src/tailring_otlpwire/keys_attributes.py",
    "src/tailring_otlpwire/keys_identity.py",
    "src/tailring_otlpwire/split_by.py",
    "src/tailring_otlpwire/pieces.py",
    "src/tailring_otlpwire/canonical_size.py",
    "src/tailring_otlpwire/group.py",
    "src/tailring_otlpwire/join.py",
    "src/tailring_otlpwire/chunk.py",
    "src/tailring_otlpwire/attributes.py",
    "src/tailring_otlpwire/trace_context.py",
]

ext_modules = []
if HOT and os.environ.get("TAILRING_COMPILE") == "1":
    from mypyc.build import mypycify

    ext_modules = mypycify(["--strict", *HOT], opt_level="3")

setup(ext_modules=ext_modules)
