"""Owns what transformers' own pipeline answers to a picture, by kind of problem; does not compare.

Run by test_pipelines.py where transformers is installed: `pipelines.py make LIBRARY FOLDER`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from tests.graphs.tiny import blots
from tests.parity.reference import HF, drawn, new

SIDE_PX = 48
PROBLEMS = {"unsaid": None, "single": "single_label_classification", "multi": "multi_label_classification"}


def pictures() -> list[Image.Image]:
    """Of the networks' size, so that nobody resizes."""
    return [Image.fromarray(pixels) for pixels in blots(4, side_px=SIDE_PX)]


def main(out: Path) -> None:
    import transformers as t

    cases: dict[str, dict[str, Any]] = {name: {"problem_type": problem} for name, problem in PROBLEMS.items()}
    cases |= {"one": {"num_labels": 1}, "one_multi": {"num_labels": 1, "problem_type": PROBLEMS["multi"]}}
    regression = {"problem_type": "regression"}
    cases |= {"regression": regression, "one_regression": {**regression, "num_labels": 1}}
    for name, problem in cases.items():
        labels = {i: f"thing {i}" for i in range(problem.pop("num_labels", 4))}
        network = drawn(t.ViTForImageClassification(t.ViTConfig(**HF, id2label=labels, **problem)))
        network.classifier.weight.mul_(20)  # far enough from zero that no two activations are alike
        processor = t.ViTImageProcessor(size={"height": SIDE_PX, "width": SIDE_PX})
        folder = new(out / name)
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
        pipeline = t.ImageClassificationPipeline(network, image_processor=processor)
        # Of a regression its image pipeline makes classes unless told, its text pipeline does not.
        told = {"function_to_apply": "none"} if name.endswith("regression") else {}
        answers = [pipeline(picture, top_k=10, **told) for picture in pictures()]
        (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[3]))
