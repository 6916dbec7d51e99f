"""Networks of the Gluon and GluonCV model zoos with random weights, converted and compared with
what MXNet answers.

    pip install mxnet==1.9.1 numpy==1.23.5 gluoncv onnx onnxruntime
    python bench/convert/mxnet.py --modelyard target/release/modelyard [--peers]
"""

import gc
import os
import pathlib
import sys
import warnings

# MXNet's own kernels: those of oneDNN in its wheel answer 1e14 for the boxes of an SSD whose plain kernels
# (and every other runtime) say 300, whatever is asked.
os.environ["MXNET_MKLDNN_ENABLED"] = "0"

warnings.filterwarnings("ignore")

# The folder of this script holds files named like the packages they need.
HERE = pathlib.Path(__file__).resolve().parent
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]
import mxnet  # noqa: E402
import numpy  # noqa: E402

sys.path.append(str(HERE))
import common  # noqa: E402

PEER = """
import sys, mxnet
symbol, parameters, target, *shape = sys.argv[1:]
shapes = [tuple(int(size) for size in one.split("x")) for one in shape]
mxnet.onnx.export_model(symbol, parameters, shapes, ["float32"] * len(shapes), target)
"""

GLUON = ["alexnet", "densenet121", "inceptionv3", "mobilenet1.0", "mobilenetv2_1.0", "resnet18_v1",
         "resnet50_v2", "squeezenet1.0", "vgg11", "vgg16_bn"]

# One of each family of GluonCV.
GLUONCV = [
    "alpha_pose_resnet101_v1b_coco", "c3d_kinetics400",
    "center_net_dla34_coco", "center_net_mobilenetv3_large_duc_voc",
    "center_net_resnet18_v1b_voc", "cifar_residualattentionnet56", "cifar_resnet20_v1",
    "cifar_resnet20_v2", "cifar_resnext29_16x64d", "cifar_wideresnet16_10",
    "danet_resnet50_citys", "darknet53", "deeplab_resnest50_ade", "deeplab_resnet50_citys",
    "deeplab_resnet101_coco", "deeplab_v3b_plus_wideresnet_citys", "densenet121", "dla34",
    "doublehead_rcnn_resnet50_v1b_voc", "faster_rcnn_fpn_resnet50_v1b_coco",
    "faster_rcnn_fpn_syncbn_resnet50_v1b_coco", "faster_rcnn_resnet50_v1b_voc", "fastscnn_citys",
    "fcn_resnet50_ade", "fcn_resnet101_coco", "googlenet", "hrnet_w18_small_v1_c", "hrnet_w18_c",
    "i3d_inceptionv1_kinetics400", "i3d_inceptionv3_kinetics400", "i3d_nl5_resnet50_v1_kinetics400",
    "i3d_resnet50_v1_kinetics400", "i3d_slow_resnet101_f16s4_kinetics700", "icnet_resnet50_citys",
    "inceptionv3", "mask_rcnn_fpn_resnet18_v1b_coco", "mask_rcnn_resnet18_v1b_coco",
    "mobile_pose_mobilenet1.0", "mobile_pose_mobilenetv3_small", "mobile_pose_resnet18_v1b",
    "mobilenet0.25", "mobilenetv2_0.25", "mobilenetv3_large", "mobilenetv3_small",
    "monodepth2_resnet18_kitti_mono_640x192", "monodepth2_resnet18_posenet_kitti_mono_640x192",
    "nasnet_4_1056", "p3d_resnet50_kinetics400", "psp_resnet50_ade", "r2plus1d_resnet18_kinetics400",
    "residualattentionnet56", "resnest14", "resnest50", "resnet18_v1", "resnet18_v1b",
    "resnet18_v1b_0.89", "resnet18_v1b_kinetics400", "resnet18_v2", "resnet50_v1b_gn",
    "resnet50_v1b_sthsthv2", "resnet50_v1c", "resnet50_v1d", "resnet50_v1d_0.11", "resnet50_v1e",
    "resnet50_v1s", "resnext50_32x4d", "se_resnet18_v1", "se_resnet18_v2", "se_resnext50_32x4d",
    "senet_154", "shufflenet_v1", "shufflenet_v2", "simple_pose_resnet18_v1b",
    "simple_pose_resnet50_v1d", "slowfast_4x16_resnet50_kinetics400",
    "slowfast_8x8_resnet50_kinetics400", "squeezenet1.0", "squeezenet1.1",
    "ssd_300_mobilenet0.25_voc", "ssd_300_mobilenet1.0_lite_coco", "ssd_300_resnet34_v1b_voc",
    "ssd_300_vgg16_atrous_voc", "ssd_512_mobilenet1.0_voc", "ssd_512_resnet18_v1_voc",
    "ssd_512_resnet50_v1_voc", "ssd_512_resnet101_v2_voc", "ssd_512_vgg16_atrous_voc", "vgg11",
    "vgg11_bn", "vgg16_ucf101", "xception", "yolo3_darknet53_voc", "yolo3_mobilenet1.0_voc",
    "yolo3_mobilenet0.25_voc", "alexnet", "resnet50_v1", "resnet50_v2", "vgg16", "vgg16_bn",
    "mobilenet1.0", "mobilenetv2_1.0", "center_net_dla34_dcnv2_coco", "resnet101_v1d_0.73",
    "deeplab_resnet50_ade", "icnet_resnet50_mhpv1", "psp_resnet101_coco",
]


class Random(mxnet.init.Xavier):
    """Some networks have biases that say nothing about how they begin."""

    def _init_weight(self, name, array):
        if array.ndim < 2:
            array[:] = mxnet.nd.random.uniform(-0.1, 0.1, array.shape)
        else:
            super()._init_weight(name, array)


def shape_of(name):
    """A shape that the network is made for, with small images where it has no other opinion."""
    if name.startswith("c3d"):
        return (1, 3, 16, 112, 112)
    if name.startswith("r2plus1d"):
        return (1, 3, 16, 112, 112)
    if name.startswith("p3d"):
        return (1, 3, 16, 160, 160)
    if name.startswith("slowfast"):
        frames = {"4x16": 36, "8x8_": 40, "16x8": 80}[name[9:13]]
        return (1, 3, frames, 224, 224)
    if name.startswith("i3d"):
        return (1, 3, 16 if "f16s4" in name else 32, 224, 224)
    if "inceptionv3" in name or "xception" in name:
        return (1, 3, 299, 299)
    if name.startswith("nasnet"):
        return (1, 3, 224, 224)
    if name.startswith("cifar"):
        return (1, 3, 32, 32)
    if name.startswith("simple_pose") or name.startswith("mobile_pose"):
        return (1, 3, 256, 192)
    if name.startswith("alpha_pose"):
        return (1, 3, 256, 192)
    if name.startswith("monodepth2"):
        return (1, 6 if "posenet" in name else 3, 192, 640)
    if name.startswith("ssd_300"):
        return (1, 3, 300, 300)
    if name.startswith("ssd_512"):
        return (1, 3, 512, 512)
    if name.startswith("yolo3"):
        return (1, 3, 320, 320)
    if "rcnn" in name:
        return (1, 3, 256, 320)
    if name.startswith("center_net"):
        return (1, 3, 256, 256)
    if "_citys" in name and not name.startswith("fastscnn"):
        return (1, 3, 480, 480)
    if any(name.startswith(kind) for kind in ["fcn", "psp", "deeplab", "danet", "icnet"]):
        return (1, 3, 480, 480)
    if name.startswith("fastscnn"):
        return (1, 3, 1024, 1024)
    return (1, 3, 224, 224)


def network(zoo, name):
    if zoo == "gluon":
        from mxnet.gluon.model_zoo.vision import get_model

        return get_model(name)
    from gluoncv.model_zoo import get_model

    for options in [{"pretrained": False, "pretrained_base": False}, {"pretrained": False}, {}]:
        try:
            return get_model(name, **options)
        except (TypeError, Warning, ValueError):
            continue
    return get_model(name, pretrained=False)


def flat(outputs):
    if isinstance(outputs, (list, tuple)):
        return [one for output in outputs for one in flat(output)]
    return [outputs]


def randomized(net, random):
    """Weights that keep values in range, and statistics that are not those of nothing."""
    for name, parameter in net.collect_params().items():
        if name.endswith("running_mean"):
            parameter.set_data(mxnet.nd.array(random.normal(0, 0.2, parameter.shape)))
        elif name.endswith("running_var"):
            parameter.set_data(mxnet.nd.array(random.uniform(0.5, 1.5, parameter.shape)))
        elif "centernet" in name and name.endswith("conv1_weight"):
            # Scores that are all 1 have no order.
            parameter.set_data(parameter.data() * 0.02)
        elif name.endswith(("gamma", "beta")) and parameter.grad_req != "null":
            parameter.set_data(mxnet.nd.array(random.normal(name.endswith("gamma"), 0.2, parameter.shape)))


def made(zoo, name, folder):
    """Writes symbol and parameters: their paths, the input, what MXNet answers."""
    mxnet.random.seed(1)
    random = numpy.random.default_rng(1)
    net = network(zoo, name)
    if hasattr(net, "set_nms"):
        net.set_nms(nms_thresh=0.45, nms_topk=400, post_nms=100)
    net.initialize(Random(), force_reinit=True)
    x = mxnet.nd.array(random.uniform(0, 1, shape_of(name)))
    net(x)
    randomized(net, random)
    symbol = mxnet.sym.Group(flat(net(mxnet.sym.var("data"))))
    prefix = folder / f"{zoo}-{name}"
    symbol.save(f"{prefix}-symbol.json")
    names = set(symbol.list_arguments()) | set(symbol.list_auxiliary_states())
    aux = set(symbol.list_auxiliary_states())
    values = {}
    for key, parameter in net.collect_params().items():
        if key in names:
            values[("aux:" if key in aux else "arg:") + key] = parameter.data().as_in_context(mxnet.cpu())
    mxnet.nd.save(f"{prefix}-0000.params", values)
    del net
    block = mxnet.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")
    expected = [output.asnumpy() for output in flat(block(x))]
    return f"{prefix}-symbol.json", f"{prefix}-0000.params", x.asnumpy(), expected


def row(zoo, name, arguments):
    cells = [f"{zoo} {name}"]
    try:
        symbol, parameters, x, expected = made(zoo, name, arguments.out)
    except Exception as error:
        return cells + [None] * 5 + [f"MXNet: {str(error).strip().splitlines()[0][:80]}"], None
    gc.collect()
    target = symbol.replace("-symbol.json", ".onnx")
    seconds, cpu, memory, code, errors = common.convert(arguments.modelyard, symbol, target)
    said = not code and not fits(target, x)

    def with_size():
        sizes = ",".join(["batch", *map(str, x.shape[1:])])
        return common.convert(arguments.modelyard, symbol, target, "--shape", f"data={sizes}")

    if said:
        # Another size than the one that was found to fit.
        seconds, cpu, memory, code, errors = with_size()
    size = pathlib.Path(parameters).stat().st_size / 2**20
    if code:
        found = errors.splitlines()[-1][:240] if errors else "failed"
    else:
        found = common.checked(target) or tried(target, x, expected)
    if not code and not said and isinstance(found, str):
        # Detectors whose anchors are made for one size of the image.
        said = True
        seconds, cpu, memory, code, errors = with_size()
        found = common.checked(target) or tried(target, x, expected)
    cells += ["x".join(map(str, x.shape)) + (" (said)" if said else ""), size, seconds, cpu, memory, found]
    if arguments.peers:
        cells += peer(symbol, parameters, x, expected)
    for path in [symbol, parameters, target]:
        if not arguments.keep:
            pathlib.Path(path).unlink(missing_ok=True)
    return cells, isinstance(found, float) and found <= common.TOLERANCE


def fits(target, x):
    """Whether the input of a model takes this array."""
    import onnx

    (value,) = onnx.load(target).graph.input
    dims = value.type.tensor_type.shape.dim
    return all(not dim.dim_value or dim.dim_value == size for dim, size in zip(dims, x.shape))


def tried(target, x, expected):
    try:
        found = common.answers(target, [x])
    except Exception as error:
        return str(error).strip().splitlines()[0][:160]
    difference = common.worst(expected, found)
    if difference > common.TOLERANCE and len(expected) == 3 and expected[2].shape[-1:] == (4,):
        return min(difference, unordered(expected, found))
    return difference


def unordered(expected, found):
    """The difference of detections (class, score, box) whose order is that of their scores: with random
    weights many scores are equal but for rounding, so each row is compared with the nearest one."""
    def rows(values):
        columns = [value.reshape(-1, value.shape[-1] if value.shape[-1] == 4 else 1) for value in values]
        return numpy.concatenate(columns, 1).astype(numpy.float64)

    one, two = rows(expected), rows(found)
    if one.shape != two.shape or len(one) > 1000:
        return float("inf")
    scale = numpy.array([1, 1, *[max(numpy.abs(one[:, 2:]).max(), 1e-3)] * 4])
    left, worst = list(range(len(two))), 0.0
    for row in one:
        apart = (numpy.abs(two[left] - row) / scale).max(1)
        nearest = int(apart.argmin())
        worst = max(worst, float(apart[nearest]))
        # Each answers for one only.
        left.pop(nearest)
    return worst


def peer(symbol, parameters, x, expected):
    target = symbol.replace("-symbol.json", "-peer.onnx")
    shape = "x".join(map(str, x.shape))
    command = [sys.executable, "-P", "-c", PEER, symbol, parameters, target, shape]
    seconds, cpu, memory, code, errors = common.measured(command)
    found = errors.splitlines()[-1][:120] if code else tried(target, x, expected)
    pathlib.Path(target).unlink(missing_ok=True)
    return [seconds, cpu, memory, found]


def main():
    arguments = common.arguments(__doc__)
    arguments.keep = bool(os.environ.get("KEEP"))
    columns = ["model", "input", "size, MB", "time, s", "CPU, s", "memory, MB", "difference"]
    if arguments.peers:
        columns += ["mx2onnx, s", "mx2onnx CPU, s", "mx2onnx, MB", "mx2onnx difference"]
    table, agree, made_count = common.Table(*columns), 0, 0
    for zoo, names in [("gluon", GLUON), ("gluoncv", GLUONCV)]:
        for name in names:
            if arguments.only and arguments.only not in f"{zoo} {name}":
                continue
            cells, agrees = row(zoo, name, arguments)
            made_count += agrees is not None
            agree += bool(agrees)
            table.add(*cells)
    table.print(f"{agree} of {made_count} agree with MXNet.", arguments.json)


if __name__ == "__main__":
    main()
