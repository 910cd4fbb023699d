"""A recording to what the models hear of it: CAM++'s embedding and the S3 speech tokens."""
