"""Tables, plots and pages."""

import lazy_loader as _lazy

from brevitas_a2q._extras import need as _need

_need("pages and figures", "jinja2", "matplotlib")

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
