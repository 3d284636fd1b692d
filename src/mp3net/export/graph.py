"""A graph of ONNX operators, written down node by node."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# What runtimes of the last years, browsers included, understand.
OPSET, IR_VERSION = 17, 8


class Graph:
    """Nodes and constants of a graph, or of the body of a loop in one; values are known by their names."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; returns the name of its output, or a list of names."""
        names = [f"{self.prefix}{kind.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: np.ndarray | Sequence[int] | float | int) -> str:
        """A constant: whole numbers as int64, others as float32. Equal ones are kept once."""
        array = np.asarray(value)
        array = array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32)
        content = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        key = f"{self.prefix}{array.dtype}_{'x'.join(map(str, array.shape))}_{content}"
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, key)
        return key

    def affine(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """Rows (T, W) -> (T, W')."""
        return str(self.op("Gemm", x, self.constant(weight), self.constant(bias), transB=1))

    def reshape(self, x: str, *shape: int) -> str:
        return str(self.op("Reshape", x, self.constant(shape)))

    def slice(self, x: str, first: int, last: int, axis: int = 0) -> str:
        """From `first` to before `last`, both counted from the end where they are negative; last = 0: to the end."""
        ends = last if last else np.iinfo(np.int64).max
        return str(self.op("Slice", x, *(self.constant([number]) for number in (first, ends, axis))))

    def size(self, x: str, axis: int) -> str:
        """The size of an axis, a scalar."""
        return str(self.op("Gather", self.op("Shape", x), self.constant(axis)))

    def model(self, inputs: Any, outputs: Any, metadata: dict[str, str]) -> Any:
        """The finished model. Errors: onnx.checker.ValidationError if it is none."""
        graph = helper.make_graph(self.nodes, "mp3net", inputs, outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "mp3net"
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model

    def body(self, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        """The body of a loop, float32 in and out."""
        given, made = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names] for names in (inputs, outputs)
        )
        return helper.make_graph(self.nodes, f"{self.prefix}body", given, made, list(self.constants.values()))
