"""Tables, plots and pages."""

from brevitas_a2q._extras import need as _need
from brevitas_a2q._moved import face as _face

_need("pages and figures", "jinja2", "matplotlib")

__getattr__, __dir__, __all__ = _face(__name__, __file__)
