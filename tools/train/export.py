"""Writes a trained net as ONNX with its manifest: `export.py detector|depth --run DIR --models DIR`.

The running average of the weights is what is exported, batch norms folded into the convolutions, weights as 16-bit floats
that ONNX Runtime widens once when it loads the file.
"""

import argparse
import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import depth_net
import detector_net
from layers import folded

OPSET = 17

DETECTOR = """\
# The default detector: trained in the simulator from nothing (tools/train), seven classes, one whole picture at 640x384.
name = "kinestream-detector"
task = "detector"
file = "kinestream-detector.onnx"
sha256 = "{sha256}"
licence = "Apache-2.0"
classes = {classes}

[input]
name = "images"
size = [640, 384]
padding = "top-left"
pad = [114, 114, 114]
color = "bgr"
range = "0-255"

[outputs]
predictions = "output"

[decode]
family = "yolox"
strides = [8, 16, 32]
nms_iou = 0.35
"""

DEPTH = """\
# The default metric depth net: trained in the simulator from nothing (tools/train). It takes the camera's intrinsics.
name = "kinestream-depth"
task = "depth"
file = "kinestream-depth.onnx"
sha256 = "{sha256}"
licence = "Apache-2.0"

[input]
name = "image"
size = [320, 192]
padding = "stretch"
color = "rgb"
range = "0-1"

[outputs]
depth = "depth"
sky = "sky"

[scale]
rule = "metres"
min_m = {least}
max_m = {most}
relative_sigma = {sigma}
intrinsics_input = "K"
sky = "high"
sky_threshold = 0.5
"""


def halve(model: onnx.ModelProto) -> None:
    """Stores large weights as 16-bit floats behind a cast."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            continue
        if np.abs(values).max() > 6e4:
            raise ValueError(f"{tensor.name}: {np.abs(values).max()} does not fit a 16-bit float")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_f16"))
        casts.append(helper.make_node("Cast", [name + "_f16"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def first_convolution(net: torch.nn.Module) -> torch.nn.Conv2d:
    return next(module for module in net.modules() if isinstance(module, torch.nn.Conv2d))


def export(task: str, run: Path, models: Path, sigma: float) -> Path:
    checkpoint = torch.load(run / f"{task}.pt", weights_only=True)
    if task == "detector":
        net, module = detector_net.Detector(), detector_net
        inputs = (torch.zeros(1, 3, module.HEIGHT, module.WIDTH),)
        names, outputs = ["images"], ["output"]
    else:
        net, module = depth_net.Depth(), depth_net
        camera = torch.tensor([[[260.0, 0, 159.5], [0, 260, 95.5], [0, 0, 1]]])
        inputs = (torch.zeros(1, 3, module.HEIGHT, module.WIDTH), camera)
        names, outputs = ["image", "K"], ["depth", "sky"]
    if checkpoint["settled"]:
        net = folded(net.eval())
    net.load_state_dict(checkpoint["average"])
    exported = module.Exported(folded(net.eval())).eval()
    with torch.no_grad():
        first_convolution(net).weight.mul_(module.INPUT_SCALE)
    models.mkdir(parents=True, exist_ok=True)
    path = models / f"kinestream-{task}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported, inputs, str(path), input_names=names, output_names=outputs, opset_version=OPSET, dynamo=False
        )
    model = onnx.load(path)
    halve(model)
    if task == "detector":
        # As Ultralytics writes them, so that the bare file tells its classes too.
        names = "{" + ", ".join(f"{index}: '{name}'" for index, name in enumerate(detector_net.CLASSES)) + "}"
        helper.set_model_props(model, {"names": names})
    model.producer_name, model.producer_version, model.doc_string = "kinestream", "", ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if task == "detector":
        classes = "[" + ", ".join(f'"{name}"' for name in detector_net.CLASSES) + "]"
        text = DETECTOR.format(sha256=sha256, classes=classes)
    else:
        text = DEPTH.format(sha256=sha256, least=depth_net.LEAST_M, most=depth_net.MOST_M, sigma=sigma)
    path.with_suffix(".toml").write_text(text)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["detector", "depth"])
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[2] / "models")
    parser.add_argument("--sigma", type=float, default=0.3, help="relative standard deviation of a depth, for the manifest")
    arguments = parser.parse_args()
    export(arguments.task, arguments.run, arguments.models, arguments.sigma)


if __name__ == "__main__":
    main()
