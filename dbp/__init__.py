"""Time-domain digital backpropagation for coherent optical receivers, from learning to watts."""

__version__ = "0.1.0"
