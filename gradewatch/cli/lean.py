"""structlog without rich, for two reasons.

structlog imports rich wherever it is installed, which doubles the start of a worker that never prints a table; and the
tracebacks it then makes show local variables, among which a key or a password may be.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

_absent = "rich" not in sys.modules
if _absent:
    sys.modules["rich"] = cast(ModuleType, None)  # as the import system spells "there is none"
try:
    import structlog as structlog
finally:
    if _absent:
        del sys.modules["rich"]
