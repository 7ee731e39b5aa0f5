"""What people look at: curves and the model card, written into the artifact by the parent."""
