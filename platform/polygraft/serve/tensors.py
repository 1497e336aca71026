"""Tensors of the Open Inference Protocol (v2): in JSON, or, by its binary extension, as bytes after
the JSON. Texts are of datatype BYTES.

In binary form an element of BYTES is its length, four bytes little-endian, and its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import InvalidRow
from polygraft.serve.bodies import parsed

Values = list[str] | NDArray[np.float32]


@dataclass(frozen=True)
class Tensor:
    """An output: texts, or numbers [rows, ...]."""

    name: str
    values: Values

    @property
    def datatype(self) -> str:
        return "BYTES" if isinstance(self.values, list) else "FP32"

    @property
    def shape(self) -> list[int]:
        return [len(self.values)] if isinstance(self.values, list) else list(self.values.shape)

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape}

    def numbers(self) -> list[Any]:
        """What JSON holds: all values in one list."""
        if isinstance(self.values, list):
            return self.values
        flat: list[float] = self.values.ravel().astype(float).round(6).tolist()
        return flat

    def packed(self) -> bytes:
        if isinstance(self.values, list):
            encoded = [text.encode("utf-8", "surrogatepass") for text in self.values]
            return b"".join(struct.pack("<I", len(one)) + one for one in encoded)
        return self.values.astype("<f4").tobytes()


def split_body(body: bytes, header_length: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a request, and the bytes after it. `header_length` is the header
    Inference-Header-Content-Length: how many bytes the JSON has. Raises `InvalidRow`."""
    if header_length is None:
        return parsed(body), b""
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise InvalidRow(
            f"Inference-Header-Content-Length is {header_length[:20]!r}; give the number of bytes "
            f"of the JSON, of the {len(body):,} of the body"
        )
    end = int(header_length)
    return parsed(body[:end]), body[end:]


def texts_of(request: dict[str, Any], binary: bytes) -> list[str]:
    """The texts of the one input of a request. Raises `InvalidRow`."""
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidRow('inputs is a list of one tensor, "text", of datatype BYTES')
    tensor = inputs[0]
    if tensor.get("datatype") != "BYTES" or tensor.get("name") != "text":
        raise InvalidRow('the input is called "text" and its datatype is BYTES: texts in UTF-8')
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    texts = _flat(tensor.get("data")) if size is None else _unpacked(binary, size)
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not all(isinstance(length, int) and length >= 0 for length in shape)
        or prod(shape) != len(texts)
    ):
        raise InvalidRow(f"shape is {str(shape)[:60]}, and there are {len(texts)} texts")
    return texts


def answer_of(
    described: dict[str, Any], tensors: Sequence[Tensor], binary: Sequence[str]
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where bytes follow: of the tensors named in
    `binary`."""
    outputs, tail = list[dict[str, Any]](), b""
    for tensor in tensors:
        output = tensor.described()
        if tensor.name in binary:
            packed = tensor.packed()
            output["parameters"] = {"binary_data_size": len(packed)}
            tail += packed
        else:
            output["data"] = tensor.numbers()
        outputs.append(output)
    text = json.dumps(described | {"outputs": outputs}, ensure_ascii=False, allow_nan=False)
    head = text.encode("utf-8", "backslashreplace")
    return head + tail, len(head) if binary else None


def _flat(data: Any) -> list[str]:
    """The texts of a tensor in JSON, which may be nested by its shape."""
    if not isinstance(data, list):
        raise InvalidRow("data of the input is missing; give a list of texts")
    texts = list[str]()
    for one in data:
        texts += _flat(one) if isinstance(one, list) else [one]
    return texts


def _unpacked(binary: bytes, size: Any) -> list[str]:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary):
        raise InvalidRow(
            f"binary_data_size is {str(size)[:20]}, and {len(binary):,} bytes follow the JSON"
        )
    texts, start = list[str](), 0
    while start < size:
        (length,) = struct.unpack("<I", binary[start : start + 4].ljust(4, b"\0"))
        start += 4 + length
        if start > size:
            raise InvalidRow("an element of the input is longer than the bytes that were sent")
        texts.append(binary[start - length : start].decode("utf-8", "replace"))
    return texts
