"""Numbers in, a plotly figure or a 3D scene out; no state, no callbacks."""
