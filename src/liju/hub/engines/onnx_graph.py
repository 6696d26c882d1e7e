"""A graph of ONNX nodes, written one operation at a time, each a method that returns its output's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from liju.errors import MissingExtra

__all__ = ["OPSET", "Graph", "load_onnx"]

OPSET = 20  # the first with Gelu in both forms
# From here on weights lie in a file of their own: one protobuf message holds 2 GB.
LARGE = 1_500_000_000


def load_onnx() -> Any:
    """The package onnx. Raises MissingExtra where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", extra="onnx") from None
    return onnx


class Graph:
    """Nodes, weights, inputs and outputs of one graph. Every value is a name.

    >>> graph = Graph("toy")
    >>> x = graph.input("x", "float32", ["batch", 3])
    >>> y = graph.linear(x, np.ones((2, 3), np.float32), np.zeros(2, np.float32))
    >>> graph.output("y", y, "float32", ["batch", 2]); [node.op_type for node in graph.nodes]
    ['MatMul', 'Add', 'Identity']
    """

    def __init__(self, name: str):
        self._onnx = load_onnx()
        self.name = name
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._count = 0
        self._constants: dict[tuple[Any, ...], str] = {}

    def _value(self, name: str, dtype: str, shape: list[str | int]) -> Any:
        number = getattr(self._onnx.TensorProto, {"float32": "FLOAT", "int64": "INT64"}[dtype])
        return self._onnx.helper.make_tensor_value_info(name, number, shape)

    def input(self, name: str, dtype: str, shape: list[str | int]) -> str:
        """What the graph is given; a dimension with a name may be of any size."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: str, shape: list[str | int]) -> None:
        """What the graph gives back."""
        self.nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._value(name, dtype, shape))

    def __call__(self, op: str, *values: str, **attributes: Any) -> str:
        """One operation of ONNX on values."""
        return self.several(op, 1, *values, **attributes)[0]

    def several(self, op: str, outputs: int, *values: str, **attributes: Any) -> list[str]:
        """One operation with several outputs."""
        names = [f"{op}_{self._count}_{i}" for i in range(outputs)]
        self._count += 1
        self.nodes.append(self._onnx.helper.make_node(op, list(values), names, **attributes))
        return names

    def weight(self, name: str, array: Shaped[np.ndarray, ...]) -> str:
        """A tensor that lies in the file."""
        self.weights.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """A small tensor, one for each value."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.weight(f"constant_{len(self._constants)}", array)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A vector of whole numbers: a shape, axes, places."""
        return self.constant(list(values), np.int64)

    def linear(
        self, x: str, weight: Shaped[np.ndarray, "out in"], bias: Shaped[np.ndarray, " out"] | None = None
    ) -> str:
        """x W^T + b."""
        y = self("MatMul", x, self.weight(f"weight_{self._count}", weight.T))
        return y if bias is None else self("Add", y, self.weight(f"bias_{self._count}", bias))

    def layer_norm(self, x: str, weight: np.ndarray, bias: np.ndarray | None, eps: float) -> str:
        """LayerNorm over the last axis."""
        parts = [self.weight(f"norm_{self._count}", weight)]
        parts.append(self.weight(f"shift_{self._count}", np.zeros_like(weight) if bias is None else bias))
        return self("LayerNormalization", x, *parts, axis=-1, epsilon=eps)

    def rms_norm(self, x: str, weight: np.ndarray, eps: float) -> str:
        """x / sqrt(mean(x^2) + eps) * w over the last axis."""
        mean = self("ReduceMean", self("Mul", x, x), self.ints(-1), keepdims=1)
        root = self("Sqrt", self("Add", mean, self.constant(eps)))
        return self("Mul", self("Div", x, root), self.weight(f"norm_{self._count}", weight))

    def activation(self, name: str, x: str) -> str:
        """One of liju's activations."""
        if name in ("gelu", "gelu_tanh"):
            return self("Gelu", x, approximate="tanh" if name == "gelu_tanh" else "none")
        if name == "silu":
            return self("Mul", x, self("Sigmoid", x))
        x = self("Relu", x)
        return self("Mul", x, x) if name == "relu2" else x

    def size(self, x: str, axis: int) -> str:
        """The length of an axis, as a vector of one number."""
        return self("Shape", x, start=axis, end=axis + 1)

    def count(self, start: str, end: str) -> str:
        """Whole numbers from start up to end, both vectors of one number."""
        begin, stop = (self("Squeeze", value, self.ints(0)) for value in (start, end))
        return self("Range", begin, stop, self.constant(1, np.int64))

    def save(self, path: Path, producer: str) -> None:
        """Check the graph and write it. Raises onnx's error for a graph that is not one."""
        helper = self._onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name=producer, ir_version=9
        )
        large = sum(len(weight.raw_data) for weight in self.weights) > LARGE
        if large:
            self._onnx.save_model(
                model,
                str(path),
                save_as_external_data=True,
                location=f"{path.name}.data",
                size_threshold=1024,
            )
        else:
            self._onnx.checker.check_model(model)
            self._onnx.save_model(model, str(path))
