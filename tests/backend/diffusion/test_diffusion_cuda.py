# SPDX-License-Identifier: GPL-3.0-or-later
"""The same network on a GPU: half precision, and capture as a CUDA graph."""

from copy import deepcopy

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 2e-3), (torch.bfloat16, 3e-2), (torch.float16, 1e-2)]
)
def test_noise_prediction_in_every_precision(tiny, golden, relative_error, dtype, limit) -> None:
    data = {key: value.cuda() for key, value in golden("unet_v21").items()}
    model = deepcopy(tiny("v21")).to("cuda", dtype)
    with torch.no_grad():
        eps = model.predict_noise(
            data["x_16x16"], data["b_views4_16x16.t"], data["context"], data["cam_a"], 4
        )
    assert eps.dtype == torch.float32
    assert relative_error(eps, data["b_views4_16x16.eps"]) < limit


def test_prediction_can_be_captured_and_replayed(tiny, golden) -> None:
    data = {key: value.cuda() for key, value in golden("unet_v21").items()}
    model = deepcopy(tiny("v21")).to("cuda", torch.bfloat16)
    inputs = [data["x_8x8"].clone(), data["a_views4_8x8.t"].clone(), data["context"], data["cam_a"].clone()]
    with torch.no_grad():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            model.predict_noise(*inputs, views=4)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = model.predict_noise(*inputs, views=4)
        # Other values in the same memory, and no camera: the graph must follow.
        inputs[0].add_(1)
        inputs[1].copy_(data["c_views4_mixed_t.t"])
        inputs[3].zero_()
        graph.replay()
        eager = model.predict_noise(inputs[0], inputs[1], inputs[2], None, views=4)
    torch.testing.assert_close(captured, eager, atol=2e-2, rtol=2e-2)
