"""The equations: the networks, and the kernels that compute them.

Read :mod:`face_strnn.models.reference` first: equations (1) to (10) as the paper writes them, node by node. The other
modules compute the same, fast.
"""
