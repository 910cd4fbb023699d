"""A recording to a voice: the embedding of CAM++ and the S3 speech tokens."""
