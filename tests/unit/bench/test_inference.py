from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from bench.inference import logits_only
from tools.root import ROOT


def test_the_model_without_its_descriptors_gives_the_same_logits() -> None:
    shipped = onnx.load(ROOT / "functions" / "inference" / "model" / "model.onnx")
    feed = {
        "input_ids": np.array([[101, 1996, 2158, 102]]),
        "attention_mask": np.ones((1, 4), np.int64),
    }
    whole, bare = (
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
        for model in (shipped, logits_only(shipped))
    )
    assert (len(whole), len(bare)) == (4, 1)
    assert np.array_equal(whole[0], bare[0])
