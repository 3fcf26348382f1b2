"""What several tests share: designs, hardware runs, noise, a tiny cell library."""

from pathlib import Path

TINY_LIB = Path(__file__).with_name("tiny.lib")
