"""What the two networks are trained towards, one file per objective."""
