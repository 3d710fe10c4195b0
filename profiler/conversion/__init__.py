"""Torch models as ONNX files, made once and checked."""
