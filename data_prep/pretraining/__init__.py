"""Own pretraining of a backbone: on labelled images of faces, or on drawn ones."""
