"""What builds an engine of a `tensorrt-onnx` artifact, also where nothing of Modelmill is."""
