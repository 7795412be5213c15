"""scaleio: the volumes of Dell ScaleIO, which later was VxFlex OS and PowerFlex."""

__version__ = "0.1.0"
