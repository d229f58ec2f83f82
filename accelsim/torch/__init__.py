"""Record traces from any PyTorch model while it runs, without this project's engine.

    import accelsim.torch

    with accelsim.torch.record(model, epsilon=0.1) as recorder:
        model(images)
    recorder.traces             # one a image, the same traces as `accelsim infer` makes
    recorder.save("traces")

`tape` watches operations, `sheet` and the files of operations say what each is, `fusion` makes the graph, `recorder` the traces.
"""

from __future__ import annotations

from accelsim.errors import ModelError

try:
    import torch.nn as _nn  # noqa: F401 - the modules below need it
except ImportError as fault:
    raise ModelError("PyTorch is not installed, and recording a PyTorch model needs it\n    pip install 'accelsim[torch]'") from fault

from accelsim.torch.recorder import Recorder, record

__all__ = ["Recorder", "record"]
