"""The equations: the networks, and the kernels that compute them."""
