"""What a driver class tells about itself."""
