"""Owns the text of a model card; does not measure anything."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from app.domain import PreprocessSpec
from app.training.measure import OutOfScope
from app.training.recipe import Recipe
from app.training.report import Evaluation

_MATRIX_CLASSES: Final = 20  # a wider table cannot be read
_WORST_CONFUSIONS: Final = 20


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card tells. `data` is a bare file name."""

    name: str
    data: str
    data_sha256: str | None  # of the zip; None for a folder
    command: str
    classes: tuple[str, ...]
    train_images: int
    parameters: int
    device: str
    precision: str
    spec: PreprocessSpec
    recipe: Recipe
    evaluation: Evaluation
    kept: int  # the epoch whose weights these are
    data_note: str = ""  # source and licence, in the words of who trained
    beyond: OutOfScope | None = None  # images of none of the classes
    pictures: tuple[str, ...] = ()  # PNG files beside the card, called after what they show


def model_card(facts: CardFacts) -> str:
    """The card in Markdown."""
    evaluation, spec = facts.evaluation, facts.spec
    judged = evaluation.images
    per_class = [
        (name, sum(evaluation.confusion[i]), _percent(evaluation.recall(i)), _percent(evaluation.precision(i)))
        for i, name in enumerate(facts.classes)
    ]
    digest = f" (SHA-256 `{facts.data_sha256}`)" if facts.data_sha256 else ""
    sections = [
        f"# {facts.name}",
        f"An image classifier with {len(facts.classes)} classes: a Vision Transformer, `{facts.recipe.variant}`, with "
        f"{facts.parameters:,} parameters. It answers {_percent(evaluation.accuracy)} of {judged:,} validation images "
        "correctly, images that it was not trained on.",
        "## Data",
        *([facts.data_note] if facts.data_note else []),
        f"`{facts.data}`{digest}: {facts.train_images + judged:,} images in {len(facts.classes)} classes.\n"
        f"Split: {facts.train_images:,} to train on, {judged:,} held out for validation, the same share of every class "
        f"drawn with seed {facts.recipe.seed}. There is no third part: all below is of the validation images.\n"
        f"Every image is resized to {spec.height} x {spec.width} px ({spec.interpolation}, {spec.crop_mode} crop) and "
        f"normalised with mean {spec.mean} and standard deviation {spec.std}, the same in training and in serving.",
        "## Recipe",
        f"{_origin(facts.recipe)} on {facts.device} in {facts.precision}; the weights kept are a moving average over "
        f"the steps{_choice(facts)}, stored as float16. `recipe.json` beside this file is the whole recipe, `log.csv` "
        "its course.",
        _table(("option", "value"), [(f"`{key}`", value) for key, value in asdict(facts.recipe).items()]),
        f"Made by this one command, run where the data{', the start' if facts.recipe.start else ''} and `recipe.json` "
        "lie:",
        f"```\n{facts.command}\n```",
        *_picture(facts, "log", "Losses, accuracy and learning rate by epoch"),
        "## Accuracy",
        f"{_percent(evaluation.accuracy)} of {judged:,} validation images (top-1). Found: share of the images of the "
        "class that got this answer. Right: share of such answers that were right.",
        _table(("class", "images", "found", "right"), per_class),
        *_confusion(facts),
        *_picture(facts, "confusion", "Images by what they show and what was answered"),
        "## Calibration",
        f"Logits are divided by the temperature {evaluation.temperature} before the softmax, one number fitted on the "
        "validation images. The expected calibration error (15 bins, the same images) is "
        f"{evaluation.raw_calibration_error:.4f} without it and {evaluation.calibration_error:.4f} with it: by so much "
        "does a score, read as the chance that the answer is right, miss on average.",
        *_picture(facts, "reliability", "Share of right answers by score"),
        _table(
            ("images", "mean score", "right"),
            [(b.images, f"{b.confidence:.3f}", _percent(b.accuracy)) for b in evaluation.bins if b.images],
        ),
        "## Confidence",
        _confidence(evaluation),
        "## Images of none of the classes",
        *_beyond(facts.beyond),
        "## Limits",
        _limits(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _origin(recipe: Recipe) -> str:
    if not recipe.start:
        return "Trained from random weights"
    digest = f" (SHA-256 `{recipe.start_sha256}`)" if recipe.start_sha256 else ""
    frozen = "all but the head" if recipe.freeze == "backbone" else f"embeddings and first {recipe.freeze} blocks"
    kept = f", {frozen} kept as they were," if recipe.freeze else ""
    return f"Fine-tuned from `{recipe.start}`{digest} under a new head that began as zeros{kept}"


def _choice(facts: CardFacts) -> str:
    """Measured and chosen on the same images: a reader must know."""
    if not facts.recipe.patience:
        return ""
    return f", of epoch {facts.kept}, whose loss on the validation images was the lowest,"


def _confusion(facts: CardFacts) -> Iterator[str]:
    """The whole matrix where it can be read, else the pairs confused most."""
    matrix = facts.evaluation.confusion
    if len(facts.classes) <= _MATRIX_CLASSES:
        yield "Rows: what the image shows. Columns: what the answer was."
        yield _table(("", *facts.classes), [(name, *row) for name, row in zip(facts.classes, matrix, strict=True)])
        return
    pairs = [
        (count, facts.classes[truth], facts.classes[answer])
        for truth, row in enumerate(matrix)
        for answer, count in enumerate(row)
        if count and truth != answer
    ]
    yield "The pairs confused most:"
    yield _table(("images", "shown", "answered"), sorted(pairs, reverse=True)[:_WORST_CONFUSIONS])


def _picture(facts: CardFacts, stem: str, text: str) -> Iterator[str]:
    if f"{stem}.png" in facts.pictures:
        yield f"![{text}]({stem}.png)"


def _confidence(evaluation: Evaluation) -> str:
    if evaluation.threshold is None:
        return "No score tells right answers from wrong ones well enough: answers carry no `confidence`."
    return (
        f'Answers with a score of {evaluation.threshold:.3f} or more carry `"confidence": "high"`, the others '
        f'`"low"`: {_percent(evaluation.sure_share)} of the validation images get a high one, and '
        f"{_percent(evaluation.sure_precision)} of these answers are right."
    )


def _beyond(beyond: OutOfScope | None) -> Iterator[str]:
    if beyond is None:
        yield "Not measured for this model."
        return
    sure = (
        ""
        if beyond.sure_share is None
        else f" {_percent(beyond.sure_share)} of them are answered with high confidence."
    )
    yield f"{beyond.images:,} images that show none of the classes get a mean score of {beyond.mean_score:.3f}.{sure}"
    yield _table(("answered", "images"), beyond.answers[:_WORST_CONFUSIONS])


def _limits(facts: CardFacts) -> str:
    evaluation, size = facts.evaluation, f"{facts.spec.height} x {facts.spec.width} px"
    worst = min(range(len(facts.classes)), key=evaluation.recall)
    return "\n".join(
        (
            f"- It knows {len(facts.classes)} classes and no others: a picture of anything else still gets one of "
            "these names, at times with high confidence.",
            f"- It sees {size}. What is small in the picture, or cut off by the crop, is lost.",
            f"- It is wrong in {_percent(1 - evaluation.accuracy)} of the cases on images like those it was trained "
            "on, and more often on others.",
            f"- It is weakest on `{facts.classes[worst]}`: {_percent(evaluation.recall(worst))} of them are found.",
            "- Scores are calibrated on the validation images; on other kinds of images they promise too much.",
            "- What is one-sided in the training images is one-sided in the answers; nobody has examined that here.",
        )
    )


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
