"""Decoding of images, videos and camera streams."""

import cv2

# OpenCV would print its own lines about a damaged file or an absent camera; the errors raised here say it once.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
