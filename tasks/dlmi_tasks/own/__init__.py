"""Tasks of your own: arrays, .npz files, folders of images, manifests and torch datasets."""
