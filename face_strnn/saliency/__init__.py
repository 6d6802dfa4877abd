"""Where a network looks: projections, attributions, their pictures."""
