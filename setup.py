"""All else is in pyproject.toml, which takes packages that are found or packages that lie elsewhere, and not both."""

from setuptools import find_packages, setup

ELSEWHERE = {'a2sg_zoo.configs': 'configs'}

setup(packages=[*find_packages(include=['a2sg_zoo*']), *ELSEWHERE], package_dir=ELSEWHERE)
