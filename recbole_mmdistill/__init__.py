"""Multi-modal sequential recommendation for RecBole.

Importing this package makes RecBole 1.2.1 work on today's libraries and registers the model
``IDMMDistill`` with it, so that RecBole's own entry points run it by name.
"""

from .integration import install
from .version import __version__

__all__ = ["__version__"]

install()
