"""Faces: found by MTCNN, followed through a sequence, cut out, varied."""
