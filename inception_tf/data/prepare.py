"""Makes a TFDS data set ready, as ArrayRecord."""

from inception_tf.data import tfds_source


def prepare(data):
    """Prepares the set that `data` (config.Data) names; does nothing if it is ready."""
    builder = tfds_source.find_builder(data)
    if builder.is_prepared():
        return
    tfds = tfds_source.import_tfds()
    builder = tfds_source.find_builder(data, file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=data.manual_dir or None)
    builder.download_and_prepare(download_config=config)
