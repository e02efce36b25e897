"""Writes README.md of a model folder: the model card, with metadata for the Hugging Face Hub."""

from __future__ import annotations

from typing import Any, Final

import yaml

# A sentence about each form of a graph (optimise_graph.py).
FORMS: Final = {
    "8-bit products": "It multiplies matrices of 8-bit numbers.",
    "8-bit weights in blocks": "Its weights have 8 bits, and a scale for each block of weights.",
    "32 bits": "Its numbers have 32 bits, like those of the checkpoint.",
}


def markdown(card: dict[str, Any], profile: dict[str, Any]) -> str:
    """Return the model card of a finished folder as Markdown."""
    base = card.get("base_model", {})
    front = {
        **({"license": base["licence"].lower()} if base.get("licence") else {}),
        **(
            {"base_model": base["name"], "base_model_relation": "quantized"}
            if base.get("name")
            else {}
        ),
        "pipeline_tag": "text-classification",
        "library_name": "onnx",
        "tags": ["onnx", "int8", "prediction-monitor"],
    }
    kernels, figures = card["kernels"], card["figures"]
    if card["calibrated"]:
        low, high = figures["accuracy_interval"]
        quality = (
            f"On {figures['texts']} texts that were not used for training or calibration "
            f"({figures['sample']}): "
            f"accuracy {figures['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"Matthews correlation {figures['matthews']:.3f}, expected calibration error "
            f"{figures['calibration_error']:.3f}. Logits are divided by a temperature of "
            f"{card['temperature']:.3f}."
        )
    else:
        quality = (
            "Not calibrated, because the sample had no labels: a score is not the probability of "
            "being right."
        )
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# {card["name"]}, version {card["version"]}

Labels: {", ".join(f"`{label}`" for label in card["labels"])}. The model reads at most
{card["max_tokens"]} word pieces. Longer texts are cut.

{quality}

The model is a {card["architecture"]} in ONNX. {FORMS[kernels["form"]]}
It was compared with the checkpoint from which it was made, on {kernels["texts"]} texts:
{kernels["labels_changed"]} texts have another label, and no probability differs by more than
{kernels["largest_difference"]}.

In addition to the logits, the model gives numbers that describe each text:
- the signature, eight numbers for the content;
- the novelty, which says how far the signature is from the signatures of usual texts;
- the surprisal, which says how unusual the pairs of neighbouring word pieces are.

`profile.json` contains these numbers for {profile["population"]["sentences"]} texts, as a
reference for usual texts. It also contains statistics of these texts, and the whole text of
{len(profile["golden"]["sentences"])} golden sentences. These are texts with the answers that this
model gave when it was made.
"""
