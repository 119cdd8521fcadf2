# What types there are for keras are partial or inferred from
# defaults, and wrong where it matters (a schedule is no float). Any is honest.
from typing import Any

def __getattr__(name: str) -> Any: ...
