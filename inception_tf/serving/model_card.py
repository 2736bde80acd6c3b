"""What an exported network is, for people: the manifest as Markdown."""

from inception_tf.runs.new_run import converted_origin
from inception_tf.serving.manifest import ExportManifest, form_of
from inception_tf.text import printable


def model_card(manifest: ExportManifest) -> str:
    """The manifest as Markdown."""
    lines = [f"# {manifest['network']['net']}, {len(manifest['class_names'])} classes", ""]
    lines += [f"- **{name}**: {printable(text)}" for name, text in _summary(manifest)]
    lines += ["", "## Input", "", _input(manifest), "", "## Answers", "", _answers(manifest), "",
              "## Limits", "", _LIMITS, ""]
    return "\n".join(lines)


_LIMITS = (
    "The probabilities are those of the classes above: a picture of anything else gets one of "
    "them too. The score is of the split named; other pictures may be harder. Images are "
    "taken as they are stored: EXIF orientation is not applied.")


def _summary(manifest):
    network = manifest["network"]
    yield "network", (f"{network['net']} of arXiv {_PAPERS.get(network['net'], _PAPER)}, width "
                      f"{network['width']:g}, {manifest['parameters']:,} parameters")
    yield "weights", "; ".join([manifest["weights"], *_origin(manifest)])
    yield "trained on", _trained_on(manifest)
    yield "score", _score(manifest["score"])
    yield "written", (f"{manifest['exported']} as {form_of(manifest)}, by "
                      + ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()))
    yield "against the original", _comparison(manifest["comparison"])


_PAPER = "1602.07261"
_PAPERS = {"inception_v3": "1512.00567"}


def _origin(manifest):
    """Phrases: where the weights come from, and what `average` made of them."""
    origin = manifest["origin"]
    if converted := converted_origin(origin):
        averages = manifest["weights"] == "ema" and converted["averaged"]
        files = ", ".join(f"{name} (sha256 {digest[:16]}...)"
                          for name, digest in converted["files"].items())
        yield (f"converted from {converted['source']}'s {files}, "
               + ("moving averages" if averages else "weights as they are"))
    elif "step" in origin:
        yield (f"step {origin['step']}, checkpoint sha256 "
               f"{origin['checkpoint_sha256'][:16]}...")
    made = origin.get("origin", {})
    if "recalibrated_on_images" in made:
        steps, images = [one["step"] for one in made["averaged"]], made["recalibrated_on_images"]
        if len(steps) > 1:
            yield f"mean of steps {', '.join(map(str, steps))}"
        if images:
            yield f"batch statistics of {images} images"


def _trained_on(manifest):
    if manifest["data"]:
        return f"{manifest['data']['dataset']}, split {manifest['data']['train_split']}"
    named = len(manifest["class_names"]) == 1000
    return "what the converted file does not say" + (
        ": its outputs are taken for ImageNet's classes" * named)


def _score(score):
    if score is None:
        return "not measured in its run"
    return (f"top-1 error {100 * score['top1_error']:.2f} %, top-5 {100 * score['top5_error']:.2f} "
            f"% on {score['images']} images of {score['dataset']}/{score['split']}, 1 crop")


def _comparison(compared):
    parts = [f"{name} differ by at most {value:.1e}"
             for name, value in compared["largest_difference"].items()]
    text = f"{', '.join(parts)} on {compared['images']} images"
    for name, accuracy in compared.get("accuracy", {}).items():
        text += f"; top-1 error of the {name} {100 * accuracy:.2f} %"
    if "answers_changed" in compared:
        text += f"; {100 * compared['answers_changed']:.2f} % of the classes changed"
    return text


def _input(manifest):
    how = manifest["preprocessing"]
    size = how["image_size"]
    cut = (f"the central {100 * how['crop_fraction']:g} % of each side, resized to {size}x{size} "
           f"({how['interpolation']}, pixel centers {how['pixel_centers']}, antialias "
           f"{'on' if how['antialias'] else 'off'}), scaled to [-1, 1]")
    if manifest["kind"] == "savedmodel":
        return ("`serving_default` and `features` take JPEG, PNG, GIF, BMP or WebP files as bytes "
                f"and cut them: {cut}. `images` takes float32 [n, {size}, {size}, 3] cut that way.")
    return f"float32 [n, {size}, {size}, 3]: {cut}."


def _answers(manifest):
    if manifest["kind"] == "savedmodel":
        return ("`probabilities` [n, K] in the order of labels.txt; `classes`, `scores` and "
                "`labels` of the best five. `features` gives the pooled features and the logits.")
    if manifest["kind"] == "keras":
        return "logits [n, K]" + ", the first of background" * manifest["first_class"] + "."
    return "probabilities [n, K] in the order of labels.txt."
