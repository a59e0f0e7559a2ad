"""Recipes: folders with configuration and a little code.

Folders named ``egs3`` elsewhere on the import path, without an ``__init__.py``, belong to this
package too: that is where recipes and templates outside of a checkout live.
"""

from __future__ import annotations

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
