"""Owns the text of a model card; does not measure anything."""

from dataclasses import asdict, dataclass

from app.domain import PreprocessSpec
from app.package.variants import variant
from app.training import card_quality as quality
from app.training.card_quality import Beyond
from app.training.markdown import percent, picture, table
from app.training.recipe import Recipe
from app.training.report import Evaluation


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card tells. `data` is a bare file name; `pictures` are those that lie beside the card."""

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
    changed_accuracy: float  # on the same images, changed as in training
    kept: int  # the epoch whose weights these are
    data_note: str = ""  # source and licence
    beyond: Beyond | None = None
    skipped: int = 0  # files of the data that could not be read
    skipped_others: int = 0  # and of the images of none of the classes
    pictures: tuple[str, ...] = ()
    start_is_backbone: bool = False  # its weights were those of what stands before the encoder alone


def model_card(facts: CardFacts) -> str:
    """The card in Markdown."""
    evaluation, spec = facts.evaluation, facts.spec
    judged = evaluation.images
    digest = f" (SHA-256 `{facts.data_sha256}`)" if facts.data_sha256 else ""
    sections = [
        f"# {facts.name}",
        f"An image classifier with {len(facts.classes)} classes: a Vision Transformer, `{facts.recipe.variant}`, with "
        f"{facts.parameters:,} parameters. It answers {percent(evaluation.accuracy)} of {judged:,} validation images "
        "correctly, images that it was not trained on.",
        "## Data",
        f"Source and licence: {facts.data_note or 'not noted when it was trained (`--data-note`).'}",
        f"`{facts.data}`{digest}: {facts.train_images + judged:,} images in {len(facts.classes)} classes."
        f"{_skipped(facts)}\n"
        f"Split: {facts.train_images:,} to train on, {judged:,} held out for validation, the same share of every class "
        f"drawn with seed {facts.recipe.seed}. There is no third part: all below is of the validation images.\n"
        f"Every image is resized to {spec.height} x {spec.width} px ({spec.interpolation}, crop mode {spec.crop_mode}) "
        f"and normalised with mean {spec.mean} and standard deviation {spec.std}, the same in training and in serving."
        f"{_enlarged(facts)}",
        "## Recipe",
        f"{_origin(facts)} on {facts.device} in {facts.precision}; the weights kept are a moving average over "
        f"the steps{_choice(facts)}; they are stored as float16. `recipe.json` beside this file is the whole "
        "recipe, `log.csv` its course.",
        *picture("log.png", "Loss, validation accuracy and learning rate by epoch", facts.pictures),
        table(("option", "value"), [(f"`{key}`", value) for key, value in asdict(facts.recipe).items()]),
        f"Made by this one command, run where the data{', the start' if facts.recipe.start else ''} and `recipe.json` "
        "lie:",
        f"```\n{facts.command}\n```",
        *quality.accuracy(facts.classes, evaluation, facts.changed_accuracy, facts.pictures),
        *quality.calibration(evaluation, facts.pictures),
        *quality.confidence(evaluation),
        *quality.out_of_scope(facts.beyond),
        "## Limits",
        _limits(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _enlarged(facts: CardFacts) -> str:
    size = facts.recipe.image_size
    if not size:
        return ""
    return (
        f" In training and in all measurements below but those of other images it was {size} x {size} px before, so "
        "that of larger pictures serving shows the network more."
    )


def _skipped(facts: CardFacts) -> str:
    told = [f"{facts.skipped:,} more could not be read and were left out"] if facts.skipped else []
    if facts.skipped_others:
        told.append(f"{facts.skipped_others:,} of none of the classes could not be read and were left out")
    return f" {', and '.join(told)}: `skipped.txt` beside this file names them." if told else ""


def _origin(facts: CardFacts) -> str:
    recipe = facts.recipe
    if not recipe.start:
        entry = " behind fixed filters, the principal components of the images' patches,"
        return "Trained from random weights" + (entry if variant(recipe.variant).stem_widths else "")
    digest = f" (SHA-256 `{recipe.start_sha256}`)" if recipe.start_sha256 else ""
    if facts.start_is_backbone:
        kept = f", whose first {recipe.freeze_stages} stages were kept as they were" if recipe.freeze_stages else ""
        return f"The backbone began as `{recipe.start}`{digest}{kept}, all else with random weights; trained"
    stages = f"the first {recipe.freeze_stages} stages of the backbone" if recipe.freeze_stages else ""
    frozen = {"": stages, "backbone": "all but the head"}.get(
        recipe.freeze, f"embeddings and first {recipe.freeze} blocks"
    )
    kept = f", {frozen} kept as they were," if frozen else ""
    return f"Fine-tuned from `{recipe.start}`{digest} under a new head that began as zeros{kept}"


def _choice(facts: CardFacts) -> str:
    """Measured and chosen on the same images: a reader must know."""
    if not facts.recipe.patience:
        return ""
    return f", of epoch {facts.kept}, whose loss on the validation images was the lowest"


def _lost(spec: PreprocessSpec) -> str:
    cuts = spec.crop_mode == "center" or spec.crop_pct < 1
    return f"What is small in the picture{', or cut off by the crop,' if cuts else ''}"


def _limits(facts: CardFacts) -> str:
    evaluation, size = facts.evaluation, f"{facts.spec.height} x {facts.spec.width} px"
    worst = min(range(len(facts.classes)), key=evaluation.recall)
    sure = facts.beyond.measured.sure_share if facts.beyond else None
    how_often = "at times with a high score" if sure is None else f"{percent(sure)} of those tried with high confidence"
    return "\n".join(
        (
            f"- It knows {len(facts.classes)} classes and no others: a picture of anything else still gets one of "
            f"these names, {how_often}.",
            f"- It sees {size}. {_lost(facts.spec)} is lost.",
            f"- It is wrong in {percent(1 - evaluation.accuracy)} of the cases on images like those it was trained "
            "on, and more often on others.",
            f"- It is weakest on `{facts.classes[worst]}`: {percent(evaluation.recall(worst))} of them are found.",
            "- Scores and the threshold of high confidence were fitted on the validation images; on other kinds of "
            "images they promise too much.",
            "- What is one-sided in the training images is one-sided in the answers; nobody has examined that here.",
        )
    )
