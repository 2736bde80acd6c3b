"""How images were cut and resized for the weights of each source.

Arguments of `data.crops.Preprocessing`, as plain values: this room knows no TensorFlow.
All three sources then scale pixels to -1..1.
"""

# TF-slim's inception_preprocessing, in TF1's resize.
_SLIM = {"crop_fraction": 0.875, "interpolation": "bilinear", "pixel_centers": "corner"}
# keras.applications crops nothing: images are loaded with target_size=(299, 299).
_KERAS = {"crop_fraction": 1.0, "interpolation": "bilinear", "pixel_centers": "half"}
# timm's default_cfg of each model; PIL low-passes before shrinking.
_TIMM = {"interpolation": "bicubic", "pixel_centers": "half", "antialias": True}
_TIMM_CROPS = {"inception_v4": 0.875, "inception_resnet_v2_released": 0.8975}


def preprocessing_of(source, net):
    """Keyword arguments of Preprocessing, without the image size."""
    if source == "timm":
        return {"crop_fraction": _TIMM_CROPS[net], **_TIMM}
    return dict({"slim": _SLIM, "keras": _KERAS}[source])
