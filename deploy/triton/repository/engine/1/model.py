"""The model of this folder is a runner of the inference service's package."""

from modelmill_inference.children.triton import TritonPythonModel as TritonPythonModel
