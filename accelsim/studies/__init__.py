"""Questions beyond a run: how sparse, how that changes from image to image, which scheme, what an observer sees, what weights add."""
