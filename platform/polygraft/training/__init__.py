"""Training side: recipe -> adapter folder. Needs the `train` extra (torch, transformers, peft,
datasets, scikit-learn)."""

import warnings
from importlib.util import find_spec

_missing = [
    name
    for name in ("torch", "transformers", "peft", "datasets", "sklearn")
    if find_spec(name) is None
]
if _missing:
    raise ModuleNotFoundError(
        f"training needs {', '.join(_missing)}: pip install -c constraints.txt 'polygraft[train]'",
        name=_missing[0],
    )

# transformers warns its users of a rename that peft has not followed yet; nothing a reader of our
# output can act on.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
