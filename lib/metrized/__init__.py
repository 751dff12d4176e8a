"""Metrized deep learning: modules that know their own derivatives, norms and step sizes."""
from importlib.metadata import PackageNotFoundError, version

from .heap import keep_freed_memory

try:
    __version__ = version("metrized")
except PackageNotFoundError:  # a checkout on sys.path, not installed
    __version__ = "0+unknown"

keep_freed_memory()
