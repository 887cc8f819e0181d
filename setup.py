"""The same tree for pip; everything is said in pyproject.toml."""

from setuptools import setup

setup()
