"""The arrays of an adapter: LoRA and heads, from the bytes of its files, checked. numpy only."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from polygraft.adapters.layout import LAYOUT
from polygraft.errors import AdapterError, listed, problems_of, shortened

Floats = NDArray[np.float32]
Lora = dict[str, tuple[Floats, Floats]]
PEFT_PREFIX = "base_model.model."
LORA_KEY = re.compile(re.escape(PEFT_PREFIX) + r"(?P<site>\S{1,200})\.lora_(?P<part>[AB])\.weight")
VARIANTS = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern")
FLOATS = {"float16", "bfloat16", "float32", "float64"}
NUMBERS = "int32"  # of a head: places in a table, not weights

LARGEST_VALUE = 1e4
"""Of a weight, of B with alpha/r folded in, of a head's values. Trained ones stay below 2. In a
mixed batch a row's states also pass the arrays of adapters it does not use, and what comes out is
multiplied by 0, which makes NaN of infinity: states below 1e4 times 1e4, summed over fewer than 1e5
inputs, are below 1e13; times 1e4, summed over ranks below 1e4, below 1e21, far from float32's
3e38."""
LARGEST_SCALE = 1e3  # alpha/r; peft's defaults give 1, recipes 1 to 64


class PeftConfig(BaseModel):
    """What is read of `adapter_config.json`; PEFT writes much more."""

    model_config = ConfigDict(extra="allow", strict=True)
    peft_type: str
    r: int = Field(ge=1, le=1024)
    lora_alpha: FiniteFloat = Field(gt=0)
    bias: str = "none"

    @property
    def variants(self) -> list[str]:
        """Variants of LoRA that the configuration asks for; none of them is served."""
        return [name for name in VARIANTS if (self.model_extra or {}).get(name)]


def peft_config(content: bytes, name: str) -> PeftConfig:
    """Raises `AdapterError` for what is not the configuration of plain LoRA."""
    try:
        config = PeftConfig.model_validate_json(content)
    except ValidationError as error:
        problems = listed(problems_of(error.errors(include_url=False, include_input=False)))
        raise AdapterError(
            f"adapter {name!r}: {LAYOUT.peft_config} is not PEFT's configuration of LoRA "
            f"({problems}); save the adapter again"
        ) from None
    if config.peft_type != "LORA" or config.bias != "none" or config.variants:
        raise AdapterError(
            f"adapter {name!r} is not plain LoRA (type {shortened(config.peft_type)}, bias "
            f"{shortened(config.bias)}, {', '.join(config.variants) or 'no variants'}); plain LoRA "
            "without bias is served"
        )
    if config.lora_alpha / config.r > LARGEST_SCALE:
        raise AdapterError(
            f"adapter {name!r}: alpha/r is {config.lora_alpha / config.r:.3g}, at most "
            f"{LARGEST_SCALE:.0f} is served; train it with a smaller alpha"
        )
    return config


def tensors(content: bytes, file: str, name: str) -> dict[str, Floats]:
    """The arrays in the bytes of the safetensors file `file`, as float32. Raises `AdapterError` for
    what is not readable, not floating point, not finite or absurdly large."""
    arrays = _arrays(content, file, name)
    return {key: _checked(value, key, file, name) for key, value in arrays.items()}


def head_tensors(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The same of a head's file, where an array may also be int32, and stays so."""
    arrays = _arrays(content, LAYOUT.head, name)
    return {
        key: value if value.dtype.name == NUMBERS else _checked(value, key, LAYOUT.head, name)
        for key, value in arrays.items()
    }


def _arrays(content: bytes, file: str, name: str) -> dict[str, NDArray[Any]]:
    try:
        arrays: dict[str, NDArray[Any]] = load(content)
    except (
        SafetensorError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        raise AdapterError(
            f"adapter {name!r}: {file} is not readable as safetensors "
            f"({str(error)[:200] or type(error).__name__}); save it again"
        ) from None
    return arrays


def _checked(value: NDArray[Any], key: str, file: str, name: str) -> Floats:
    where = f"adapter {name!r}: {shortened(key)} in {file}"
    if value.dtype.name not in FLOATS:
        raise AdapterError(f"{where} is of type {value.dtype.name}; save it as float32")
    largest = float(np.abs(value).max(initial=0))
    if not np.isfinite(largest):
        raise AdapterError(f"{where} holds NaN or infinity; train it again")
    if largest > LARGEST_VALUE:
        raise AdapterError(
            f"{where} holds {largest:.3g}; values beyond {LARGEST_VALUE:.0f} are not trained "
            "ones, and could make infinity of the rows beside them"
        )
    return value.astype(np.float32)


def lora_arrays(tensors: dict[str, Floats], alpha: float, name: str) -> Lora:
    """PEFT's tensors as bank arrays: `{site: (A [in, r], B [r, out])}`, alpha/r folded into B.
    Raises `AdapterError`."""
    sites = set()
    for key in tensors:
        match = LORA_KEY.fullmatch(key)
        if match is None:
            raise AdapterError(
                f"adapter {name!r} holds {shortened(key)}, which is not plain LoRA; save it with "
                "peft again"
            )
        sites.add(match["site"])
    lora: Lora = {}
    for site in sorted(sites):
        a = tensors.get(f"{PEFT_PREFIX}{site}.lora_A.weight")
        b = tensors.get(f"{PEFT_PREFIX}{site}.lora_B.weight")
        if (
            a is None
            or b is None
            or a.ndim != 2
            or b.ndim != 2
            or a.shape[0] != b.shape[1]
            or 0 in (*a.shape, *b.shape)
        ):
            raise AdapterError(
                f"adapter {name!r}: LoRA A and B of site {shortened(site)} are missing or disagree "
                f"in rank (A {_shape(a)}, B {_shape(b)}; wanted are A [r, in] and B [out, r])"
            )
        scale = np.float32(alpha / a.shape[0])
        if float(np.abs(b).max()) * float(scale) > LARGEST_VALUE:
            raise AdapterError(
                f"adapter {name!r}: B of site {shortened(site)} times alpha/r is beyond "
                f"{LARGEST_VALUE:.0f}"
            )
        lora[site] = (np.ascontiguousarray(a.T), np.ascontiguousarray(b.T) * scale)
    return lora


def moves(lora: Lora) -> bool:
    """Whether it changes anything; the LoRA of a head on the frozen backbone is zero."""
    return any(a.any() and b.any() for a, b in lora.values())


def _shape(array: Floats | None) -> str:
    return "missing" if array is None else str(list(array.shape))
