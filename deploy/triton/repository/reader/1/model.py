"""The model of this folder is part of the inference service's package."""

from modelmill_inference.children.triton_reader import TritonPythonModel as TritonPythonModel
