//! What is in the picture: ONNX models by manifest, with the pre- and post-processing of each contract.
