"""ec2: the volumes of Amazon EC2, its Elastic Block Store."""

__version__ = "0.1.0"
