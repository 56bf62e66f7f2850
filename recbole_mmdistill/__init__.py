"""Multi-modal sequential recommendation for RecBole.

After an import of this package RecBole 1.2.1 works on today's libraries and knows the model
``IDMMDistill``, so that RecBole's own entry points run it by name. Both are done when RecBole is
first imported: until then the import of this package costs next to nothing.
"""

from .integration import install_with_recbole
from .version import __version__

__all__ = ["__version__"]

install_with_recbole()
