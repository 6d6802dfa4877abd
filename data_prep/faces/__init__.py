"""Faces: detection by MTCNN, tracking, crops and their augmentation."""
