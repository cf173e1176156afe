"""One program at one piece of work: builds the model, then runs it once for each line on
standard input and answers with the seconds it took. `peers.py` starts and drives it.

    contestant.py PROGRAM NETWORK BATCH d,h,w PASS
    contestant.py command ARGUMENT...

PROGRAM: torch, torch-cl (channels_last_3d), torch-bf16, torch-bf16-cl, openvino,
openvino-bf16, keras. PASS: forward or step (forward, loss, backward, SGD). The second
form runs a command, from its start to its end. Says "ready" with the number of
parameters, then for each pass its seconds and the largest resident memory so far, in bytes.
"""

import resource
import subprocess
import sys
import time

import models


def torch_run(network, batch, shape, work, channels_last, bf16):
    import torch

    torch.manual_seed(1)
    model = models.unet(network)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    x = torch.randn(batch, 3, *shape).to(memory_format=layout)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
    if work == "forward":
        # Running statistics, which spare PyTorch the pass that ours makes over each output.
        model.eval()

        def run():
            with torch.inference_mode(), cast:
                model(x)

    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.99)
        with torch.no_grad():
            labels = torch.randint(0, 3, model(x)[:, 0].shape)
        loss = torch.nn.CrossEntropyLoss()

        def run():
            optimizer.zero_grad(set_to_none=True)
            with cast:
                value = loss(model(x), labels)
            value.backward()
            optimizer.step()

    return run, parameters(model)


def openvino_run(network, batch, shape, bf16):
    import numpy
    import openvino
    import torch

    model = models.unet(network).eval()
    x = torch.randn(batch, 3, *shape)
    converted = openvino.convert_model(model, example_input=x, input=[tuple(x.shape)])
    core = openvino.Core()
    compiled = core.compile_model(
        converted,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request, numbers = compiled.create_infer_request(), numpy.ascontiguousarray(x.numpy())
    return lambda: request.infer({0: numbers}, share_inputs=True, share_outputs=True), parameters(model)


def keras_run(batch, shape, work):
    import keras
    import numpy
    import tensorflow as tf

    model = models.keras_blog((*shape, 3))
    x = tf.constant(numpy.random.default_rng(1).standard_normal((batch, *shape, 3), numpy.float32))
    if work == "forward":
        call = tf.function(lambda x: model(x, training=False))
        return lambda: call(x).numpy(), model.count_params()
    labels = tf.zeros((batch, *model.output_shape[1:4]), tf.int32)
    model.compile(
        optimizer=keras.optimizers.SGD(1e-4, momentum=0.99),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: model.train_on_batch(x, labels), model.count_params()


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def command_run(command):
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 0


def make(program, network, batch, shape, work):
    batch, shape = int(batch), tuple(map(int, shape.split(",")))
    if program.startswith("torch"):
        return torch_run(network, batch, shape, work, program.endswith("-cl"), "bf16" in program)
    if program.startswith("openvino"):
        return openvino_run(network, batch, shape, program.endswith("bf16"))
    return keras_run(batch, shape, work)


def main():
    is_command = sys.argv[1] == "command"
    run, count = command_run(sys.argv[2:]) if is_command else make(*sys.argv[1:])
    run()  # the first pass compiles and allocates
    print("ready", count, flush=True)
    whose = resource.RUSAGE_CHILDREN if is_command else resource.RUSAGE_SELF
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(whose).ru_maxrss * 1024
        print(seconds, peak, flush=True)


if __name__ == "__main__":
    main()
