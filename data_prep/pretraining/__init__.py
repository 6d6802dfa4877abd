"""Pretraining of a backbone on labelled images of faces, or on synthetic faces."""
