# The types that can be had for tensorflow are inferred from defaults or are partial,
# and wrong where it matters (a schedule is no float). Any is honest.
from typing import Any

def __getattr__(name: str) -> Any: ...
