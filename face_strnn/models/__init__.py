"""The networks, and the kernels that compute their equations.

Read :mod:`face_strnn.models.reference` first: equations (1) to (10) as the paper writes them, node by node. The other
modules are the fast implementation.
"""
