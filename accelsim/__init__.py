"""accelsim: what zeros in feature maps are worth."""
